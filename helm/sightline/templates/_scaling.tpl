{{/* (dict "root" $ "c" COMPONENT "triggers" TEXT "stabilization" SECONDS-OR-NIL): a ScaledObject. */}}
{{- define "sightline.scaledObject" -}}
{{- $keda := .root.Values.keda }}
{{- $scaling := .c.settings.scaling }}
{{- $behavior := deepCopy ($scaling.behavior | default $keda.behavior) }}
{{- with .stabilization }}
{{- $down := $behavior.scaleDown | default dict }}
{{- $_ := set $down "stabilizationWindowSeconds" (max (int64 .) (int64 ($down.stabilizationWindowSeconds | default 0))) }}
{{- $_ := set $behavior "scaleDown" $down }}
{{- end }}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ .c.name }}
  labels:
    {{- include "sightline.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: {{ .c.kind }}
    name: {{ .c.name }}
  pollingInterval: {{ int64 $keda.pollingInterval }}
  {{- with $scaling.cooldownSeconds }}
  cooldownPeriod: {{ int64 . }}
  {{- end }}
  minReplicaCount: {{ int64 $scaling.minReplicas }}
  maxReplicaCount: {{ int64 $scaling.maxReplicas }}
  # What can't be asked changes nothing: the pods stay as many as they are.
  fallback:
    failureThreshold: {{ int64 $keda.fallbackAfterFailures }}
    replicas: {{ max 1 (int64 $scaling.minReplicas) }}
    behavior: currentReplicasIfHigher
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        {{- toYaml $behavior | nindent 8 }}
  triggers:
    {{- .triggers | trim | nindent 4 }}
{{- end }}

{{/* (dict "root" $ "c" COMPONENT): for who is scaled on a group's lag, the component's own credentials. */}}
{{- define "sightline.kafkaAuthentication" -}}
{{- $tls := .root.Values.kafka.tls }}
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata:
  name: {{ .c.name }}-kafka
  labels:
    {{- include "sightline.labels" . | nindent 4 }}
spec:
  {{- $user := include "sightline.kafkaUser" . | fromYaml }}
  {{- $mechanism := include "sightline.kafkaMechanism" .root }}
  {{- if and $mechanism $user.name }}
  # The name is no secret and stands in the pods' environment.
  env:
    - {parameter: username, name: SIGHTLINE_KAFKA_SASL_USERNAME, containerName: sightline}
  {{- end }}
  secretTargetRef:
    {{- if $mechanism }}
    {{- if not $user.name }}
    - {parameter: username, name: {{ $user.secret }}, key: {{ $user.usernameKey | quote }}}
    {{- end }}
    - {parameter: password, name: {{ $user.secret }}, key: {{ $user.passwordKey | quote }}}
    {{- end }}
    {{- if and $tls.enabled $tls.ca.secret }}
    - {parameter: ca, name: {{ $tls.ca.secret }}, key: {{ $tls.ca.key | quote }}}
    {{- end }}
    {{- if and $tls.enabled $tls.client.secret }}
    - {parameter: cert, name: {{ $tls.client.secret }}, key: {{ $tls.client.certificate | quote }}}
    - {parameter: key, name: {{ $tls.client.secret }}, key: {{ $tls.client.key | quote }}}
    {{- end }}
{{- end }}

{{/* (dict "root" $ "c" COMPONENT): which of a pool's pods a query is about. Their names, so that no relabelling is needed. */}}
{{- define "sightline.podSeries" -}}
{{- $tail := ternary "[0-9]+" "[a-z0-9]+-[a-z0-9]{5}" (eq .c.kind "StatefulSet") -}}
{{- printf "namespace=%q,pod=~%q" .root.Release.Namespace (printf "%s-%s" .c.name $tail) -}}
{{- end }}
