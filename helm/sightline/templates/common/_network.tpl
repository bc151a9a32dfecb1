{{/* Rules of NetworkPolicies. */}}

{{/* (dict "to" PEERS "ports" PORTS): an egress rule by TCP. */}}
{{- define "sightline.egress" -}}
- {{ with .to }}to:
    {{- toYaml . | nindent 4 }}
  {{ end }}ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ int . }}}
    {{- end }}
{{- end }}

{{/* The ports of HOST:PORT,…; 9092 where there is none. */}}
{{- define "sightline.kafkaPorts" -}}
{{- $ports := .Values.networkPolicy.kafka.ports -}}
{{- if not $ports -}}
{{- range splitList "," .Values.kafka.bootstrapServers }}{{ $ports = append $ports (regexFind "[0-9]+$" (regexFind ":[0-9]+$" (trim .)) | default "9092" | int) }}{{ end -}}
{{- end -}}
{{- $ports | uniq | toYaml -}}
{{- end }}

{{/* (dict "url" URL "port" N "default" N): `port`, or where it is 0 that of the address. */}}
{{- define "sightline.urlPort" -}}
{{- $authority := regexFind "^[^/?]+" (regexReplaceAll "^[a-z]+://" .url "") -}}
{{- .port | default (trimPrefix ":" (regexFind ":[0-9]+$" $authority)) | default .default | int -}}
{{- end }}

{{/* (dict "root" $ "c" COMPONENT): all that a component may reach, as a list. */}}
{{- define "sightline.egressRules" -}}
{{- $policy := .root.Values.networkPolicy -}}
{{- $component := .c.component -}}
{{- $sources := .root.Values.sources -}}
{{- $registry := .root.Values.registry -}}
- to:
    {{- toYaml $policy.dns.to | nindent 4 }}
  ports:
    {{- range $policy.dns.ports }}
    - {protocol: UDP, port: {{ int . }}}
    - {protocol: TCP, port: {{ int . }}}
    {{- end }}
{{ include "sightline.egress" (dict "to" $policy.kafka.to "ports" (fromYamlArray (include "sightline.kafkaPorts" .root))) }}
{{- if or (eq $component "store") (and (eq $component "registry") $registry.history.enabled) }}
{{- $url := .root.Values.database.url }}
{{- if eq $component "registry" }}{{ $url = (include "sightline.historyDatabase" .root | fromYaml).url }}{{ end }}
{{ include "sightline.egress" (dict "to" $policy.database.to "ports" (list (include "sightline.urlPort" (dict "url" $url "port" $policy.database.port "default" 5432)))) }}
{{- end }}
{{- if or (eq $component "pipeline") (and (eq $component "registry") $registry.probing) }}
- to:
    {{- toYaml $policy.cameras.to | nindent 4 }}
{{- end }}
{{- $fetches := false }}
{{- $objects := list }}
{{- range $policy.objects.ports }}{{ $objects = append $objects (int .) }}{{ end }}
{{- if .c.pool }}
{{- $pool := include "sightline.pool" (dict "root" .root "pool" .c.pool) | fromYaml }}
{{- $fetches = eq "url" (include "sightline.modelSource" (dict "root" .root "name" .c.pool "pool" $pool)) }}
{{- with $pool.model.url }}
{{- $objects = append $objects (int (include "sightline.urlPort" (dict "url" . "port" 0 "default" (ternary 443 80 (hasPrefix "https:" .))))) }}
{{- end }}
{{- end }}
{{- $archives := and (eq $component "archive") (regexMatch "^(s3|gs|az)://" .root.Values.consumers.archive.to) }}
{{- $lists := and (eq $component "registry") (not (empty $sources.allowBuckets)) }}
{{- if or (eq $component "worker") $fetches $archives $lists }}
{{ include "sightline.egress" (dict "to" $policy.objects.to "ports" ($objects | uniq)) }}
{{- end }}
{{- if eq $component "alerts" }}
{{ include "sightline.egress" (dict "to" $policy.alerts.to "ports" $policy.alerts.ports) }}
{{- end }}
{{- if include "sightline.traced" . }}
{{- $otlp := .root.Values.traces.otlp }}
{{ include "sightline.egress" (dict "to" $policy.traces.to "ports" (list (include "sightline.urlPort" (dict "url" $otlp "port" $policy.traces.port "default" (ternary 443 80 (hasPrefix "https:" $otlp)))))) }}
{{- end }}
{{- end }}
