{{/* Where sampled work is told of. */}}

{{/* (dict "root" $ "c" COMPONENT): "true" where it tells. Topics and archive have no such flag. */}}
{{- define "sightline.traced" -}}
{{- if and .root.Values.traces.otlp (has .c.component (list "registry" "pipeline" "worker" "events" "store" "alerts")) }}true{{ end -}}
{{- end }}

{{/* (dict "root" $ "c" COMPONENT) */}}
{{- define "sightline.tracesEnv" -}}
{{- $traces := .root.Values.traces -}}
{{- if include "sightline.traced" . }}
{{- $sample := $traces.sample.consumers }}
{{- if eq .c.component "registry" }}{{ $sample = $traces.sample.requests }}{{ end }}
{{- if .c.pool }}{{ $sample = $traces.sample.frames }}{{ end }}
- {name: SIGHTLINE_OTLP, value: {{ $traces.otlp | quote }}}
- {name: SIGHTLINE_TRACE_SAMPLE, value: {{ $sample | quote }}}
{{- with $traces.headers }}
{{- if .secret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key | quote }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
