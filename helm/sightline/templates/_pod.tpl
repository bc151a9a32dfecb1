{{/* What all pods have in common. */}}

{{- define "sightline.podSecurity" -}}
runAsNonRoot: true
{{- if not (kindIs "invalid" .settings.runAsUser) }}
runAsUser: {{ int64 .settings.runAsUser }}
runAsGroup: {{ int64 .settings.runAsUser }}
fsGroup: {{ int64 .settings.runAsUser }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "sightline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* A pod template. root, c (component), image, args, grace; env, mounts, volumes (YAML lists as text), envFrom, init, claims,
gpu, checksum, ports and probes where there are any. */}}
{{- define "sightline.podTemplate" -}}
{{- $root := .root }}
{{- $s := .c.settings }}
metadata:
  labels:
    {{- with $s.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- /* Without versions: a chart that changes nothing else restarts nothing. */}}
    {{- include "sightline.selector" (dict "root" $root "c" .c) | nindent 4 }}
  {{- if or $s.annotations .checksum }}
  annotations:
    {{- with $s.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .checksum }}
    sightline/configuration: {{ . }}
    {{- end }}
  {{- end }}
spec:
  {{- if ne .c.kind "Job" }}
  serviceAccountName: {{ .c.name }}
  {{- end }}
  automountServiceAccountToken: false
  # A Service's variables (SIGHTLINE_…) are not to be taken for settings.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .grace }}
  {{- with $s.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $root.Values.images.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with dig "runtimeClassName" "" (.gpu | default dict) }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with merge (deepCopy $s.nodeSelector) (dig "nodeSelector" dict (.gpu | default dict)) }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with concat $s.tolerations (dig "tolerations" list (.gpu | default dict)) }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $s.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if kindIs "slice" $s.topologySpreadConstraints }}
  {{- with $s.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- else if ne .c.kind "Job" }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "sightline.selector" (dict "root" $root "c" $.c) | nindent 10 }}
      {{- if eq $.c.kind "Deployment" }}
      matchLabelKeys: [pod-template-hash]
      {{- end }}
    {{- end }}
  {{- end }}
  {{- if eq .c.kind "Job" }}
  restartPolicy: Never
  {{- end }}
  securityContext:
    {{- include "sightline.podSecurity" .c | nindent 4 }}
  {{- with dig "claims" list (.gpu | default dict) }}
  resourceClaims:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .init }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: sightline
      image: {{ .image }}
      imagePullPolicy: {{ $root.Values.images.pullPolicy }}
      args: {{ toJson .args }}
      env:
        - {name: SIGHTLINE_LOG, value: {{ $root.Values.log.format }}}
        - {name: SIGHTLINE_LOG_FILTER, value: {{ $root.Values.log.filter | quote }}}
        # Caches of libraries: the root file system is read-only.
        - {name: HOME, value: /tmp}
        {{- include "sightline.kafkaEnv" (dict "root" $root "c" .c) | nindent 8 }}
        {{- with .env }}
        {{- . | trim | nindent 8 }}
        {{- end }}
        {{- with include "sightline.tracesEnv" (dict "root" $root "c" .c) | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- if .gpu }}
        # Without `video` there is no decoder on the GPU.
        - {name: NVIDIA_DRIVER_CAPABILITIES, value: "compute,utility,video"}
        {{- end }}
        {{- if ne .c.kind "Job" }}
        - {name: SIGHTLINE_HTTP, value: "{{ $root.Values.listenAddress }}:9464"}
        {{- end }}
        {{- with $s.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .envFrom }}
      envFrom:
        - secretRef: {name: {{ . }}}
      {{- end }}
      {{- if ne .c.kind "Job" }}
      ports:
        - {name: metrics, containerPort: 9464}
        {{- with .ports }}
        {{- . | nindent 8 }}
        {{- end }}
      startupProbe:
        httpGet: {path: /livez, port: metrics}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: {{ div (add (.startupSeconds | default 120) 4) 5 }}
      # It lives while it answers: a broker or a camera that is away is no reason to start again.
      livenessProbe:
        httpGet: {path: /livez, port: metrics}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: metrics}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      {{- end }}
      resources:
        {{- $resources := deepCopy $s.resources }}
        {{- with .gpu }}
        {{- if .claims }}
        {{- $names := list }}
        {{- range .claims }}{{ $names = append $names (dict "name" .name) }}{{ end }}
        {{- $_ := set $resources "claims" $names }}
        {{- else }}
        {{- $_ := set $resources "limits" (merge (dict .resource (int64 .count)) ($resources.limits | default dict)) }}
        {{- end }}
        {{- end }}
        {{- toYaml $resources | nindent 8 }}
      securityContext:
        {{- include "sightline.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- with include "sightline.kafkaMounts" (dict "root" $root) | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with .mounts }}
        {{- . | trim | nindent 8 }}
        {{- end }}
        {{- with $s.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
    {{- with include "sightline.kafkaVolumes" (dict "root" $root "c" .c) | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .volumes }}
    {{- . | trim | nindent 4 }}
    {{- end }}
    {{- with $s.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
