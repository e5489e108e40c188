// Asks the browser for a passkey, or to make one, and posts its answer with the form. Nothing is fetched.
"use strict";
(() => {
  const form = document.querySelector("form[data-passkey]");
  if (!form) return;
  const octets = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
  const said = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const known = (list) => (list || []).map((each) => ({ ...each, id: octets(each.id) }));

  const answerOf = (credential) => {
    const response = { clientDataJSON: said(credential.response.clientDataJSON) };
    for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) response[name] = said(credential.response[name]);
    }
    return JSON.stringify({ id: credential.id, rawId: said(credential.rawId), type: credential.type, response });
  };

  const ask = async () => {
    const options = JSON.parse(form.dataset.options);
    options.challenge = octets(options.challenge);
    if (form.dataset.passkey === "create") {
      options.user.id = octets(options.user.id);
      options.excludeCredentials = known(options.excludeCredentials);
      return navigator.credentials.create({ publicKey: options });
    }
    options.allowCredentials = known(options.allowCredentials);
    return navigator.credentials.get({ publicKey: options });
  };

  form.addEventListener("submit", async (event) => {
    if (form.elements.answer.value) return;
    event.preventDefault();
    const problem = form.querySelector("[role=alert]");
    problem.textContent = "";
    try {
      form.elements.answer.value = answerOf(await ask());
    } catch {
      problem.textContent = form.dataset.failed;
      return;
    }
    form.requestSubmit(event.submitter);
  });
})();
