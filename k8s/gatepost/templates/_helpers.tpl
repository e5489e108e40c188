{{- define "gatepost.fullname" -}}
{{- if contains "gatepost" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-gatepost" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "gatepost.selector" -}}
app.kubernetes.io/name: gatepost
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "gatepost.labels" -}}
{{ include "gatepost.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "gatepost.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* The image of one Deployment: its own where it names one, under what holds for all. Wants: root, set. */ -}}
{{- define "gatepost.image.of" -}}
{{- $own := .set.image | default dict }}
{{- $image := mergeOverwrite (deepCopy .root.Values.image) (ternary (dict "digest" "") dict (hasKey $own "tag")) $own }}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "gatepost.kafka" -}}
{{- if .Values.evaluation.enabled }}{{ include "gatepost.fullname" . }}-kafka:9092{{ else }}{{ .Values.kafka.bootstrap }}{{ end }}
{{- end }}

{{- /* What KEDA is to prove itself to Kafka with; empty where it need not. */ -}}
{{- define "gatepost.keda.secret" -}}
{{- if and (ne .Values.kafka.protocol "PLAINTEXT") (not .Values.evaluation.enabled) }}{{ .Values.kafka.existingSecret }}{{ end }}
{{- end }}

{{- define "gatepost.s3.secret" -}}
{{- if .Values.evaluation.enabled }}{{ include "gatepost.fullname" . }}-evaluation{{ else }}{{ .Values.store.existingSecret }}{{ end }}
{{- end }}

{{- define "gatepost.database.secret" -}}
{{- if .Values.evaluation.enabled }}{{ include "gatepost.fullname" . }}-evaluation{{ else }}{{ .Values.database.existingSecret }}{{ end }}
{{- end }}

{{- define "gatepost.quarantine.secret" -}}
{{- if .Values.evaluation.enabled }}{{ include "gatepost.fullname" . }}-evaluation{{ else }}{{ .Values.quarantine.existingSecret }}{{ end }}
{{- end }}

{{- define "gatepost.hostname" -}}
{{- .Values.hostname | default "mx.gatepost.test" -}}
{{- end }}

{{- define "gatepost.clamd" -}}
{{- if .Values.clamd.enabled }}{{ include "gatepost.fullname" . }}-clamd:3310{{ else }}{{ join "," .Values.clamd.addresses }}{{ end }}
{{- end }}

{{- define "gatepost.rspamd" -}}
{{- if .Values.rspamd.enabled }}http://{{ include "gatepost.fullname" . }}-rspamd:11333{{ else }}{{ .Values.rspamd.url }}{{ end }}
{{- end }}

{{- /* The scanners that run, by name: what the SPECs say, under what the values say, under what a promoted shadow brings. */ -}}
{{- define "gatepost.scanners" -}}
{{- $own := .Files.Get "files/scanners.yaml" | fromYaml }}
{{- range $name, $_ := .Values.scanners }}
{{- if not (hasKey $own $name) }}{{ fail (printf "scanners.%s: no scanner is called that; there are %s" $name (keys $own | sortAlpha | join ", ")) }}{{ end }}
{{- end }}
{{- $promoted := dict }}
{{- range $name, $shadow := .Values.shadows }}
{{- if $shadow.promoted }}
{{- if hasKey $promoted $shadow.scanner }}{{ fail (printf "shadows: two that are promoted are of the scanner %s; choose one" $shadow.scanner) }}{{ end }}
{{- $_ := set $promoted $shadow.scanner (merge (dict "enabled" true) (pick (deepCopy $shadow) "image" "env" "rules")) }}
{{- end }}
{{- end }}
{{- range $name, $spec := $own }}
{{- $values := mergeOverwrite (deepCopy (dig $name dict $.Values.scanners)) (dig $name dict $promoted) }}
{{- if ne (toString $values.enabled) "false" }}
{{ $name }}: {{ mergeOverwrite (deepCopy $spec) $values | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The shadows that look on, by name: as their live scanner, but for what they say and how many there are. */ -}}
{{- define "gatepost.shadows" -}}
{{- $own := .Files.Get "files/scanners.yaml" | fromYaml }}
{{- range $name, $shadow := .Values.shadows }}
{{- if not (hasKey $own $shadow.scanner) }}{{ fail (printf "shadows.%s.scanner: no scanner is called %s; there are %s" $name $shadow.scanner (keys $own | sortAlpha | join ", ")) }}{{ end }}
{{- if not $shadow.promoted }}
{{- $live := omit (dig $shadow.scanner dict $.Values.scanners) "enabled" "replicas" "autoscaling" "keda" }}
{{ $name }}: {{ mergeOverwrite (deepCopy (index $own $shadow.scanner)) (deepCopy $live) (deepCopy $shadow) | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The Deployment of a scanner, live or looking on. Wants: root, name, spec, args, own (its environment), group. */ -}}
{{- define "gatepost.scanner" -}}
{{- $root := .root }}
{{- $spec := .spec }}
{{- $set := mergeOverwrite (deepCopy $root.Values.defaults) (dict "terminationGracePeriodSeconds" $root.Values.scannerDefaults.terminationGracePeriodSeconds) (deepCopy (index $root.Values.scannerDefaults $spec.cost)) $spec }}
{{- $own := concat (list (dict "name" "GATEPOST_SCANNER_WORKERS" "value" "1")) .own }}
{{- range $port := list "clamd" "rspamd" }}
{{- $name := printf "GATEPOST_%s" (upper $port) }}
{{- if and (has $port $spec.ports) (not (hasKey ($set.env | default dict) $name)) }}
{{- with include (printf "gatepost.%s" $port) $root }}{{ $own = append $own (dict "name" $name "value" .) }}{{ end }}
{{- end }}
{{- end }}
{{- $it := dict "root" $root "name" .name "args" .args "set" $set "env" $set.env "scanners" .scanners "group" .group "topic" "mail.received.v1" }}
{{- with dig "rules" "existingConfigMap" "" $set }}
{{- if not (has "signatures" $spec.ports) }}{{ fail (printf "%s.rules: this scanner reads no folder of rules" $.name) }}{{ end }}
{{- $own = append $own (dict "name" $.rules "value" "/etc/gatepost/rules") }}
{{- $_ := set $it "volumes" (list (dict "name" "rules" "configMap" (dict "name" .))) }}
{{- $_ := set $it "mounts" (list (dict "name" "rules" "mountPath" "/etc/gatepost/rules" "readOnly" true)) }}
{{- end }}
{{ include "gatepost.deployment" (set $it "own" $own) }}
{{- end }}

{{- /* Every service's environment: what the chart says, under what `env` says of the same name. A name stands once: of
       two, an upgrade could take away the wrong one. */ -}}
{{- define "gatepost.env" -}}
{{- $said := merge (deepCopy (.env | default dict)) .root.Values.env }}
{{- if hasKey $said "GATEPOST_PARTITIONS" }}{{ fail "GATEPOST_PARTITIONS: write kafka.partitions; every service and the hook must be told the same" }}{{ end }}
{{- range concat (include "gatepost.env.chart" . | fromYamlArray) (.own | default list) }}
{{- if not (hasKey $said .name) }}
- {{ toJson . }}
{{- end }}
{{- end }}
{{- range $name, $value := $said }}
- {name: {{ $name }}, value: {{ ternary ($value | toJson) $value (kindIs "float64" $value) | quote }}}
{{- end }}
{{- end }}

{{- /* Secrets come by name alone. */ -}}
{{- define "gatepost.env.chart" -}}
{{- $root := .root }}
- {name: GATEPOST_KAFKA, value: {{ include "gatepost.kafka" $root | quote }}}
- {name: GATEPOST_PARTITIONS, value: {{ $root.Values.kafka.partitions | quote }}}
{{- with $root.Values.kafka }}
{{- if and (ne .protocol "PLAINTEXT") (not $root.Values.evaluation.enabled) }}
- {name: GATEPOST_KAFKA_PROTOCOL, value: {{ .protocol }}}
{{- if hasPrefix "SASL" .protocol }}
- {name: GATEPOST_KAFKA_MECHANISM, value: {{ .mechanism }}}
- {name: GATEPOST_KAFKA_USERNAME, valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: username}}}
- {name: GATEPOST_KAFKA_PASSWORD, valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: password}}}
{{- end }}
{{- if and .existingSecret (hasSuffix "SSL" .protocol) }}
- {name: GATEPOST_KAFKA_TLS_FOLDER, value: /etc/gatepost/kafka}
{{- end }}
{{- end }}
{{- end }}
- {name: GATEPOST_STORE, value: "s3://{{ $root.Values.store.bucket }}{{ with $root.Values.store.prefix }}/{{ . }}{{ end }}"}
{{- if $root.Values.evaluation.enabled }}
- {name: GATEPOST_S3_ENDPOINT, value: "http://{{ include "gatepost.fullname" $root }}-s3:9000"}
{{- else if $root.Values.store.endpoint }}
- {name: GATEPOST_S3_ENDPOINT, value: {{ $root.Values.store.endpoint | quote }}}
{{- end }}
- {name: GATEPOST_S3_SPOOL, value: /var/spool/gatepost}
- {name: AWS_REGION, value: {{ $root.Values.store.region | quote }}}
{{- with include "gatepost.s3.secret" $root }}
- {name: AWS_ACCESS_KEY_ID, valueFrom: {secretKeyRef: {name: {{ . }}, key: access-key-id}}}
- {name: AWS_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: {{ . }}, key: secret-access-key}}}
{{- end }}
{{- if .database }}
- {name: GATEPOST_DATABASE, valueFrom: {secretKeyRef: {name: {{ include "gatepost.database.secret" $root }}, key: url}}}
{{- end }}
{{- if .key }}
- {name: GATEPOST_QUARANTINE_KEY, valueFrom: {secretKeyRef: {name: {{ include "gatepost.quarantine.secret" $root }}, key: {{ ternary "quarantine-key" "key" $root.Values.evaluation.enabled }}}}}
{{- with $root.Values.api.pagesUrl }}
- {name: GATEPOST_PAGES_URL, value: {{ . | quote }}}
{{- end }}
{{- end }}
- {name: GATEPOST_HOSTNAME, value: {{ include "gatepost.hostname" $root | quote }}}
{{- with $root.Values.dns }}
- {name: GATEPOST_DNS, value: {{ join "," . | quote }}}
{{- end }}
- {name: GATEPOST_METRICS_HOST, value: 0.0.0.0}
- {name: GATEPOST_METRICS_PORT, value: "9464"}
- {name: GATEPOST_SCANNERS, value: {{ .scanners | default (include "gatepost.scanners" $root | fromYaml | keys | sortAlpha | join ",") | quote }}}
{{- end }}

{{- define "gatepost.container.security" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "gatepost.pod.security" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "gatepost.pod.common" -}}
serviceAccountName: {{ include "gatepost.fullname" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{ include "gatepost.pod.security" . }}
{{- end }}

{{- define "gatepost.volumes" -}}
- {name: tmp, emptyDir: {}}
- {name: spool, emptyDir: {sizeLimit: {{ .root.Values.ingress.spoolSize }}}}
{{- if and .root.Values.kafka.existingSecret (hasSuffix "SSL" .root.Values.kafka.protocol) (not .root.Values.evaluation.enabled) }}
- {name: kafka, secret: {secretName: {{ .root.Values.kafka.existingSecret }}, defaultMode: 0440}}
{{- end }}
{{- end }}

{{- define "gatepost.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: spool, mountPath: /var/spool/gatepost}
{{- if and .root.Values.kafka.existingSecret (hasSuffix "SSL" .root.Values.kafka.protocol) (not .root.Values.evaluation.enabled) }}
- {name: kafka, mountPath: /etc/gatepost/kafka, readOnly: true}
{{- end }}
{{- end }}

{{- /* What a container of ours asks for and may have: in an evaluation, less than in earnest. Wants: root, resources. */ -}}
{{- define "gatepost.resources" -}}
{{- $own := .resources }}
{{- with .root.Values.evaluation }}
{{- if .enabled }}{{ $own = mergeOverwrite (deepCopy $own) (dict "requests" .requests) }}{{ end }}
{{- end }}
{{- toYaml $own }}
{{- end }}

{{- /* Seconds until SIGKILL: what a stop may take, and the pauses before it begins. */ -}}
{{- define "gatepost.grace" -}}
{{- $said := merge (deepCopy (.env | default dict)) .root.Values.env }}
{{- add .set.terminationGracePeriodSeconds (.linger | default 0) (ceil (get $said "GATEPOST_DRAIN_SECONDS" | default 0) | int) }}
{{- end }}

{{- /* One Deployment. Wants: root, name, args, set (the values of the service), and what differs: ports, env, scanners,
       database, volumes, mounts. Scanners and services are this one template. */ -}}
{{- define "gatepost.deployment" -}}
{{- $root := .root }}
{{- $set := .set }}
{{- $of := dict "root" $root "name" .name }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "gatepost.fullname" $root }}-{{ .name }}
  labels: {{- include "gatepost.labels" $of | nindent 4 }}
spec:
  {{- if and $set.autoscaling.enabled $set.keda.enabled }}
  {{- fail (printf "%s: autoscaling and keda are both enabled; choose one, they would scale against each other" .name) }}
  {{- end }}
  {{- if and (hasKey $set "replicas") (or $set.autoscaling.enabled $set.keda.enabled) }}
  {{- fail (printf "%s: replicas is set though an autoscaler is enabled; leave replicas out" .name) }}
  {{- end }}
  {{- range $of, $bounds := dict "autoscaling" $set.autoscaling "keda" $set.keda }}
  {{- if and $bounds.enabled (gt (int $bounds.min) (int $bounds.max)) }}
  {{- fail (printf "%s.%s: min is %d and max %d; write a max of at least min" $.name $of (int $bounds.min) (int $bounds.max)) }}
  {{- end }}
  {{- end }}
  {{- if hasKey $set "replicas" }}
  replicas: {{ $set.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels: {{- include "gatepost.selector" $of | nindent 6 }}
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata:
      labels: {{- include "gatepost.labels" $of | nindent 8 }}
      {{- with $set.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "gatepost.pod.common" . | nindent 6 }}
      terminationGracePeriodSeconds: {{ include "gatepost.grace" . }}
      {{- with $set.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $set.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $set.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if $root.Values.topologySpread.enabled }}
      topologySpreadConstraints:
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector: {matchLabels: {{ include "gatepost.selector" $of | fromYaml | toJson }}}
          matchLabelKeys: [pod-template-hash]  # the pods that a rollout takes away don't count
        {{- end }}
      {{- end }}
      initContainers:
        - name: ready
          image: {{ include "gatepost.image" $root }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [await]
          env: {{- include "gatepost.env" . | nindent 12 }}
          resources: {requests: {cpu: 10m, memory: 64Mi}, limits: {memory: 256Mi}}
          volumeMounts: {{- include "gatepost.mounts" . | nindent 12 }}
          {{- include "gatepost.container.security" . | nindent 10 }}
      containers:
        - name: {{ .name }}
          image: {{ include "gatepost.image.of" (dict "root" $root "set" $set) }}
          imagePullPolicy: {{ dig "image" "pullPolicy" $root.Values.image.pullPolicy $set }}
          args: {{ toJson .args }}
          ports:
            - {name: metrics, containerPort: 9464}
            {{- range $name, $port := .ports }}
            - {name: {{ $name }}, containerPort: {{ $port }}}
            {{- end }}
          env: {{- include "gatepost.env" . | nindent 12 }}
          startupProbe: {httpGet: {path: /readyz, port: metrics}, periodSeconds: 2, failureThreshold: 150}  # a node that starts everything at once takes minutes
          readinessProbe: {httpGet: {path: /readyz, port: metrics}, periodSeconds: 5, timeoutSeconds: 3}
          livenessProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 15, timeoutSeconds: 5, failureThreshold: 4}
          {{- if .linger }}
          lifecycle: {preStop: {sleep: {seconds: {{ .linger }}}}}  # until no balancer sends new sessions here
          {{- end }}
          resources: {{- include "gatepost.resources" (dict "root" $root "resources" $set.resources) | nindent 12 }}
          volumeMounts:
            {{- include "gatepost.mounts" . | nindent 12 }}
            {{- with .mounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- include "gatepost.container.security" . | nindent 10 }}
      volumes:
        {{- include "gatepost.volumes" . | nindent 8 }}
        {{- with .volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
---
{{- if $root.Values.podDisruptionBudget.enabled }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "gatepost.fullname" $root }}-{{ .name }}
  labels: {{- include "gatepost.labels" $of | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "gatepost.selector" $of | nindent 6 }}
---
{{- end }}
{{- with $set.autoscaling }}
{{- if .enabled }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "gatepost.fullname" $root }}-{{ $.name }}
  labels: {{- include "gatepost.labels" $of | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "gatepost.fullname" $root }}-{{ $.name }}}
  minReplicas: {{ .min }}
  maxReplicas: {{ .max }}
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ .cpu }}}}
---
{{- end }}
{{- end }}
{{- with $set.keda }}
{{- if .enabled }}
{{- if not $.group }}{{ fail (printf "%s: keda scales by consumer lag, and this service has no consumer group; use autoscaling" $.name) }}{{ end }}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ include "gatepost.fullname" $root }}-{{ $.name }}
  labels: {{- include "gatepost.labels" $of | nindent 4 }}
spec:
  scaleTargetRef: {name: {{ include "gatepost.fullname" $root }}-{{ $.name }}}
  minReplicaCount: {{ .min }}
  maxReplicaCount: {{ .max }}
  triggers:
    - type: kafka
      metadata:
        bootstrapServers: {{ include "gatepost.kafka" $root | quote }}
        consumerGroup: {{ $.group }}
        topic: {{ $.topic }}
        lagThreshold: {{ .lag | quote }}
        {{- with $root.Values.kafka }}
        {{- if and (ne .protocol "PLAINTEXT") (not $root.Values.evaluation.enabled) }}
        tls: {{ ternary "enable" "disable" (hasSuffix "SSL" .protocol) }}
        sasl: {{ if hasPrefix "SASL" .protocol }}{{ get (dict "PLAIN" "plaintext" "SCRAM-SHA-256" "scram_sha256" "SCRAM-SHA-512" "scram_sha512") .mechanism }}{{ else }}none{{ end }}
        {{- end }}
        {{- end }}
      {{- if include "gatepost.keda.secret" $root }}
      authenticationRef: {name: {{ include "gatepost.fullname" $root }}-kafka}
      {{- end }}
---
{{- end }}
{{- end }}
{{- end }}
