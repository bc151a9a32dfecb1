{{/* What each consumer's pod has beside what all have, and what it is scaled on. */}}

{{/* (dict "root" $ "c" COMPONENT): env, mounts, volumes of a consumer, as texts in a dict. */}}
{{- define "sightline.consumerPod" -}}
{{- $root := .root -}}
{{- $own := get $root.Values.consumers .c.component -}}
{{- $pod := dict "env" "" "mounts" "" "volumes" "" -}}
{{- if eq .c.component "store" -}}
{{- $database := $root.Values.database -}}
{{- $env := include "sightline.databaseEnv" $database -}}
{{- $keep := list -}}
{{- range $table, $age := $own.keep }}{{ $keep = append $keep (printf "%s=%s" $table $age) }}{{ end -}}
{{- if $keep }}{{ $env = printf "%s\n- {name: SIGHTLINE_KEEP, value: %q}" $env (join "," $keep) }}{{ end -}}
{{- if not $own.migrate }}{{ $env = printf "%s\n- {name: SIGHTLINE_NO_MIGRATE, value: \"true\"}" $env }}{{ end -}}
{{- $_ := set $pod "env" $env -}}
{{- $_ := set $pod "mounts" (include "sightline.databaseMounts" (dict "root" $root "password" $database.password)) -}}
{{- $_ := set $pod "volumes" (include "sightline.databaseVolumes" (dict "root" $root "password" $database.password)) -}}
{{- else if eq .c.component "alerts" -}}
{{- $_ := set $pod "env" "- {name: SIGHTLINE_RULES, value: /etc/sightline/alerts/alerts.yaml}" -}}
{{- $_ := set $pod "mounts" (include "sightline.alertsMounts" $own) -}}
{{- $_ := set $pod "volumes" (include "sightline.alertsVolumes" (dict "own" $own "name" .c.name)) -}}
{{- if not $own.rulesSecret }}{{ $_ := set $pod "checksum" (toJson $own.rules | sha256sum) }}{{ end -}}
{{- else if eq .c.component "archive" -}}
{{- $_ := set $pod "env" (include "sightline.archiveEnv" $own) -}}
{{- $_ := set $pod "envFrom" $root.Values.sources.credentialsSecret -}}
{{- with $own.claim -}}
{{- $_ := set $pod "mounts" "- {name: archive, mountPath: /archive}" -}}
{{- $_ := set $pod "volumes" (printf "- name: archive\n  persistentVolumeClaim: {claimName: %s}" .) -}}
{{- end -}}
{{- end -}}
{{- toYaml $pod -}}
{{- end }}

{{- define "sightline.alertsMounts" -}}
- {name: rules, mountPath: /etc/sightline/alerts, readOnly: true}
{{- range $i, $secret := .secrets }}
- {name: secret-{{ $i }}, mountPath: /run/secrets/{{ $secret }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "sightline.alertsVolumes" -}}
- name: rules
  {{- if .own.rulesSecret }}
  secret: {secretName: {{ .own.rulesSecret }}, defaultMode: 0440}
  {{- else }}
  configMap: {name: {{ .name }}}
  {{- end }}
{{- range $i, $secret := .own.secrets }}
- name: secret-{{ $i }}
  secret: {secretName: {{ $secret }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{- define "sightline.archiveEnv" -}}
- {name: SIGHTLINE_TO, value: {{ .to | quote }}}
- {name: SIGHTLINE_TOPICS, value: {{ join "," .topics | quote }}}
- {name: SIGHTLINE_BUCKETS, value: {{ int .buckets | quote }}}
- {name: SIGHTLINE_ROLL_SECONDS, value: {{ int64 .rollSeconds | quote }}}
{{- with .keepDays }}
- {name: SIGHTLINE_KEEP_DAYS, value: {{ int64 . | quote }}}
{{- end }}
{{- with .keepBytes }}
- {name: SIGHTLINE_KEEP_BYTES, value: {{ . | quote }}}
{{- end }}
{{- end }}

{{/* (dict "root" $ "c" COMPONENT): a trigger for each group of it. */}}
{{- define "sightline.consumerTriggers" -}}
{{- $groups := list -}}
{{- $own := get .root.Values.consumers .c.component -}}
{{- if eq .c.component "events" -}}
{{- $groups = list (list "events" "detections") -}}
{{- else if eq .c.component "store" -}}
{{- $groups = list (list "store-events" "events") (list "store-rollups" "detections") -}}
{{- else if eq .c.component "archive" -}}
{{- range $own.topics }}{{ $groups = append $groups (list (printf "archive-%s" .) .) }}{{ end -}}
{{- else -}}
{{- range splitList "," (include "sightline.alertTargets" .root) }}{{ $groups = append $groups (list (printf "alerts-%s" .) "events") }}{{ end -}}
{{- end -}}
{{- range $groups }}
{{ include "sightline.kafkaTrigger" (dict "root" $.root "c" $.c "group" (index . 0) "topic" (index . 1) "threshold" $own.scaling.lagThreshold) }}
{{- end }}
{{- end }}
