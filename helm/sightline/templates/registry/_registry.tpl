{{/* What the registry's pod has beside what all have. */}}

{{- define "sightline.registryEnv" }}
- {name: SIGHTLINE_LISTEN, value: "{{ .Values.listenAddress }}:8700"}
{{- if eq .Values.registry.auth.mode "none" }}
- {name: SIGHTLINE_INSECURE_NO_AUTH, value: "true"}
{{- else }}
- {name: SIGHTLINE_TOKENS, value: /etc/sightline/tokens/tokens}
{{- end }}
{{- if .Values.registry.tls.secret }}
- {name: SIGHTLINE_TLS_CERT, value: /etc/sightline/tls/tls.crt}
- {name: SIGHTLINE_TLS_KEY, value: /etc/sightline/tls/tls.key}
{{- end }}
{{- if .Values.registry.history.enabled }}
{{ include "sightline.databaseEnv" (include "sightline.historyDatabase" . | fromYaml) }}
{{- end }}
{{- include "sightline.policyEnv" . }}
{{- include "sightline.sealEnv" . }}
{{- end }}

{{- define "sightline.registryMounts" }}
{{- if ne .Values.registry.auth.mode "none" }}
- {name: tokens, mountPath: /etc/sightline/tokens, readOnly: true}
{{- end }}
{{- if .Values.registry.tls.secret }}
- {name: tls, mountPath: /etc/sightline/tls, readOnly: true}
{{- end }}
{{- if .Values.registry.history.enabled }}
{{- include "sightline.databaseMounts" (dict "root" . "password" (include "sightline.historyDatabase" . | fromYaml).password) }}
{{- end }}
{{- include "sightline.sealMounts" . }}
{{- end }}

{{- define "sightline.registryVolumes" }}
{{- if ne .Values.registry.auth.mode "none" }}
- name: tokens
  secret:
    secretName: {{ include "sightline.tokensSecret" . }}
    defaultMode: 0440
    # The hashes alone; tokens stay in the Secret.
    items: [{key: tokens, path: tokens}]
{{- end }}
{{- with .Values.registry.tls.secret }}
- name: tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- if .Values.registry.history.enabled }}
{{- include "sightline.databaseVolumes" (dict "root" . "password" (include "sightline.historyDatabase" . | fromYaml).password) }}
{{- end }}
{{- include "sightline.sealVolumes" . }}
{{- end }}
