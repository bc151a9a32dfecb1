{{/* (dict "root" $ "name" POOL "c" COMPONENT): what the pipelines of a pool are scaled on. */}}
{{- define "sightline.pipelineTriggers" -}}
{{- $prometheus := .root.Values.keda.prometheus -}}
{{- $auth := ne .root.Values.registry.auth.mode "none" -}}
# How many pods carry what the registered cameras want: each adds what it measured.
- type: metrics-api
  name: wanted
  metricType: AverageValue
  useCachedMetrics: true
  metadata:
    url: {{ printf "%s/v1/scaling/pipeline?pool=%s" (include "sightline.registryUrl" .root) .name | quote }}
    valueLocation: pods_wanted
    targetValue: "1"
    unsafeSsl: {{ .root.Values.registry.tls.kedaSkipsVerification | quote }}
    {{- if $auth }}
    authMode: bearer
  authenticationRef: {name: {{ include "sightline.fullname" .root }}-registry-scaling}
    {{- end }}
{{- if $prometheus.url }}
{{- $series := include "sightline.podSeries" . }}
# Nine in ten results are quicker than this. Of no results that is no number (NaN), and neither is the share below: then it is 0.
- type: prometheus
  name: behind
  metricType: Value
  useCachedMetrics: true
  metadata:
    serverAddress: {{ $prometheus.url | quote }}
    query: {{ printf "histogram_quantile(0.9, sum by (le) (rate(sightline_pipeline_result_latency_seconds_bucket{%s}[2m]))) >= 0 or vector(0)" $series | quote }}
    threshold: {{ $prometheus.behindSeconds | quote }}
# Dropping what is stale keeps results young while quality falls.
- type: prometheus
  name: overload
  metricType: Value
  useCachedMetrics: true
  metadata:
    serverAddress: {{ $prometheus.url | quote }}
    query: {{ printf "(sum(rate(sightline_pipeline_frames_skipped_total{%s,reason=\"overload\"}[2m])) / (sum(rate(sightline_pipeline_frames_skipped_total{%s,reason=\"overload\"}[2m])) + sum(rate(sightline_pipeline_frames_published_total{%s}[2m])))) >= 0 or vector(0)" $series $series $series | quote }}
    threshold: {{ $prometheus.overloadShare | quote }}
{{- end }}
{{- end }}
