{{/* What pipelines and workers have beside what all pods have. (dict "root" $ "name" POOL "pool" SETTINGS) */}}

{{- define "sightline.gpu" -}}
{{- if include "sightline.usesGpu" .pool }}{{ toYaml .pool.gpu }}{{ end -}}
{{- end }}

{{- define "sightline.pipelineEnv" -}}
{{- $pipeline := .pool.pipeline -}}
{{- include "sightline.modelEnv" . }}
{{- if $pipeline.capacityFps }}
- {name: SIGHTLINE_CAPACITY_FPS, value: {{ $pipeline.capacityFps | quote }}}
{{- end }}
{{- if $pipeline.lowLatency }}
- {name: SIGHTLINE_LOW_LATENCY, value: "true"}
{{- end }}
{{- if ne $pipeline.spool.type "none" }}
- {name: SIGHTLINE_SPOOL, value: /spool}
- {name: SIGHTLINE_SPOOL_MAX, value: {{ int64 $pipeline.spool.maxMiB }}MiB}
{{- end }}
{{- if .root.Values.sources.cameraSecrets }}
- {name: SIGHTLINE_SECRETS, value: /etc/sightline/cameras}
{{- end }}
{{- include "sightline.policyEnv" .root }}
{{- include "sightline.sealEnv" .root }}
{{- end }}

{{- define "sightline.pipelineMounts" -}}
{{- include "sightline.modelMounts" . }}
{{- if ne .pool.pipeline.spool.type "none" }}
- {name: spool, mountPath: /spool}
{{- end }}
{{- if .root.Values.sources.cameraSecrets }}
- {name: cameras, mountPath: /etc/sightline/cameras, readOnly: true}
{{- end }}
{{- include "sightline.sealMounts" .root }}
{{- end }}

{{/* A quarter more than the spool may take. */}}
{{- define "sightline.spoolVolumeSize" -}}
{{- printf "%dMi" (div (mul (int64 .maxMiB) 5) 4) -}}
{{- end }}

{{- define "sightline.pipelineVolumes" -}}
{{- include "sightline.modelVolumes" . }}
{{- if eq .pool.pipeline.spool.type "emptyDir" }}
- name: spool
  emptyDir: {sizeLimit: {{ include "sightline.spoolVolumeSize" .pool.pipeline.spool }}}
{{- end }}
{{- with .root.Values.sources.cameraSecrets }}
- name: cameras
  projected:
    defaultMode: 0440
    sources:
      {{- range . }}
      - secret:
          name: {{ . }}
          items:
            - {key: username, path: {{ . }}/username}
            - {key: password, path: {{ . }}/password}
      {{- end }}
{{- end }}
{{- include "sightline.sealVolumes" .root }}
{{- end }}

{{- define "sightline.workerEnv" -}}
{{- $worker := .pool.worker -}}
{{- include "sightline.modelEnv" . }}
- {name: SIGHTLINE_PARALLEL, value: {{ int $worker.parallel | quote }}}
- {name: SIGHTLINE_DRAIN, value: {{ int $worker.drainSeconds | quote }}}
{{- $waits := list }}
{{- range $worker.retryAfter }}{{ $waits = append $waits (int .) }}{{ end }}
- {name: SIGHTLINE_RETRY_AFTER, value: {{ join "," $waits | quote }}}
{{- include "sightline.policyEnv" .root }}
{{- end }}

{{/* (dict "rollout" GIVEN "default" DICT) */}}
{{- define "sightline.rollingUpdate" -}}
strategy:
  type: RollingUpdate
  rollingUpdate:
    {{- toYaml (.rollout | default .default) | nindent 4 }}
{{- end }}
