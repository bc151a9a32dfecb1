{{/* Where cameras and jobs may lead, and what opens them. */}}

{{- define "sightline.policyEnv" -}}
{{- $sources := .Values.sources -}}
{{- with $sources.allowNetworks }}
- {name: SIGHTLINE_ALLOW_NETWORK, value: {{ join "," . | quote }}}
{{- end }}
{{- $roots := $sources.allowFileRoots -}}
{{- if include "sightline.samplePools" . }}{{ $roots = append $roots (include "sightline.sampleFolder" .) | uniq }}{{ end -}}
{{- with $roots }}
- {name: SIGHTLINE_ALLOW_FILE_ROOT, value: {{ join "," . | quote }}}
{{- end }}
{{- with $sources.allowBuckets }}
- {name: SIGHTLINE_ALLOW_BUCKET, value: {{ join "," . | quote }}}
{{- end }}
{{- end }}

{{- define "sightline.sealEnv" -}}
{{- if .Values.sources.sealKeysSecret }}
- {name: SIGHTLINE_SEAL_KEYS, value: /etc/sightline/seal/keys}
{{- end }}
{{- end }}

{{/* As a folder, without subPath: a Secret that changes is read again. */}}
{{- define "sightline.sealMounts" -}}
{{- if .Values.sources.sealKeysSecret }}
- {name: seal-keys, mountPath: /etc/sightline/seal, readOnly: true}
{{- end }}
{{- end }}

{{- define "sightline.sealVolumes" -}}
{{- with .Values.sources.sealKeysSecret }}
- name: seal-keys
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items: [{key: keys, path: keys}]
{{- end }}
{{- end }}

{{/* (dict "url" … "password" …) */}}
{{- define "sightline.databaseEnv" -}}
- {name: SIGHTLINE_DATABASE, value: {{ .url | quote }}}
{{- if .password.secret }}
- {name: SIGHTLINE_DATABASE_PASSWORD_FILE, value: /etc/sightline/database/password}
{{- end }}
{{- end }}

{{/* (dict "root" $ "password" …) */}}
{{- define "sightline.databaseMounts" -}}
{{- if .password.secret }}
- {name: database, mountPath: /etc/sightline/database, readOnly: true}
{{- end }}
{{- if .root.Values.database.ca.secret }}
- {name: database-ca, mountPath: /etc/sightline/database-ca, readOnly: true}
{{- end }}
{{- end }}

{{- define "sightline.databaseVolumes" -}}
{{- if .password.secret }}
- name: database
  secret:
    secretName: {{ .password.secret }}
    defaultMode: 0440
    items: [{key: {{ .password.key | quote }}, path: password}]
{{- end }}
{{- with .root.Values.database.ca }}
{{- if .secret }}
- name: database-ca
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- end }}

{{/* Whose user the registry asks the history by. */}}
{{- define "sightline.historyDatabase" -}}
{{- $own := .Values.registry.history -}}
{{- dict "url" ($own.url | default .Values.database.url) "password" (ternary $own.password .Values.database.password (ne $own.password.secret "")) | toYaml -}}
{{- end }}
