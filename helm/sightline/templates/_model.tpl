{{/* How a pool's pods come by their model: (dict "root" $ "name" POOL "pool" SETTINGS). */}}

{{/* Where the sample lies in the pipeline's image: docker/pipeline.Dockerfile. */}}
{{- define "sightline.sampleFolder" -}}
/usr/share/sightline/samples
{{- end }}

{{/* image, url, claim, volume or sample; refused where it is none or more than one. */}}
{{- define "sightline.modelSource" -}}
{{- $model := .pool.model -}}
{{- $from := list -}}
{{- if or $model.url $model.urlSecret.name }}{{ $from = append $from "url" }}{{ end -}}
{{- if $model.claim }}{{ $from = append $from "claim" }}{{ end -}}
{{- if $model.image }}{{ $from = append $from "volume" }}{{ end -}}
{{- if gt (len $from) 1 -}}
{{- fail (printf "pools.%s.model: url, claim and image each say where it comes from; keep one" .name) -}}
{{- end -}}
{{- $source := first $from | default "image" -}}
{{- /* It gives way to all others, and to what is but half of one. */ -}}
{{- if and $model.sample (not $from) (not $model.path) (not $model.sha256) }}{{ $source = "sample" }}{{ end -}}
{{- if and (eq $source "url") (not (regexMatch "^[0-9a-f]{64}$" $model.sha256)) -}}
{{- fail (printf "pools.%s.model.sha256: a model from a server is used only if it is the one you mean; give its SHA-256 (sha256sum FILE)" .name) -}}
{{- end -}}
{{- if and (eq $source "url") $model.url $model.urlSecret.name -}}
{{- fail (printf "pools.%s.model: give url or urlSecret, not both" .name) -}}
{{- end -}}
{{- if and (eq $source "image") (not (hasPrefix "/" $model.path)) -}}
{{- fail (printf "pools.%s.model: which? Give url and sha256, claim and path, image and path, or an absolute path in the pipeline's image" .name) -}}
{{- end -}}
{{- if and (has $source (list "claim" "volume")) (or (not $model.path) (hasPrefix "/" $model.path)) -}}
{{- fail (printf "pools.%s.model.path: the file's path in the %s, without a slash in front" .name (ternary "claim" "image" (eq $source "claim"))) -}}
{{- end -}}
{{- $source -}}
{{- end }}

{{- define "sightline.modelEnv" -}}
{{- $source := include "sightline.modelSource" . -}}
{{- $model := .pool.model -}}
{{- $file := $model.path -}}
{{- if eq $source "url" }}{{ $file = "/models/model.onnx" }}{{ end -}}
{{- if has $source (list "claim" "volume") }}{{ $file = printf "/models/%s" $model.path }}{{ end -}}
{{- if eq $source "sample" }}{{ $file = printf "%s/junction.onnx" (include "sightline.sampleFolder" .) }}{{ end -}}
- {name: SIGHTLINE_MODEL, value: {{ $file | quote }}}
- {name: SIGHTLINE_DEVICE, value: {{ .pool.device }}}
- {name: SIGHTLINE_POOL, value: {{ .name | quote }}}
- name: SIGHTLINE_POD
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- with $model.head }}
- {name: SIGHTLINE_HEAD, value: {{ . }}}
{{- end }}
{{- with $model.inputSize }}
- {name: SIGHTLINE_IMGSZ, value: {{ . | quote }}}
{{- end }}
{{- if $model.classNames }}
- {name: SIGHTLINE_NAMES, value: /etc/sightline/names/names.json}
{{- end }}
{{- if ne .pool.decoder "auto" }}
- {name: SIGHTLINE_DECODER, value: {{ .pool.decoder }}}
{{- end }}
{{- if ne .pool.engineCache.type "none" }}
- {name: SIGHTLINE_ENGINE_CACHE, value: /engines}
{{- end }}
{{- if .pool.detectWorkers }}
- {name: SIGHTLINE_WORKERS, value: {{ int .pool.detectWorkers | quote }}}
{{- end }}
{{- if not .pool.track }}
- {name: SIGHTLINE_NO_TRACK, value: "true"}
{{- end }}
{{- end }}

{{- define "sightline.modelMounts" -}}
{{- if has (include "sightline.modelSource" .) (list "url" "claim" "volume") }}
- {name: models, mountPath: /models, readOnly: true}
{{- end }}
{{- if .pool.model.classNames }}
- {name: names, mountPath: /etc/sightline/names, readOnly: true}
{{- end }}
{{- if ne .pool.engineCache.type "none" }}
- {name: engines, mountPath: /engines}
{{- end }}
{{- end }}

{{- define "sightline.modelVolumes" -}}
{{- $source := include "sightline.modelSource" . -}}
{{- if eq $source "url" }}
- name: models
  emptyDir: {}
{{- else if eq $source "claim" }}
- name: models
  persistentVolumeClaim: {claimName: {{ .pool.model.claim }}, readOnly: true}
{{- else if eq $source "volume" }}
- name: models
  image: {reference: {{ .pool.model.image | quote }}, pullPolicy: {{ .pool.model.imagePullPolicy }}}
{{- end }}
{{- if .pool.model.classNames }}
- name: names
  configMap: {name: {{ include "sightline.fullname" .root }}-names-{{ .name }}}
{{- end }}
{{- if eq .pool.engineCache.type "emptyDir" }}
- name: engines
  emptyDir: {}
{{- else if eq .pool.engineCache.type "claim" }}
- name: engines
  persistentVolumeClaim: {claimName: {{ .pool.engineCache.claim }}}
{{- end }}
{{- end }}

{{/* The address is in the environment, so that no shell reads it. */}}
{{- define "sightline.modelInit" -}}
{{- if eq (include "sightline.modelSource" .) "url" }}
- name: model
  image: {{ include "sightline.image" (dict "root" .root "image" .root.Values.images.fetch "tag" "latest") }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  command: [sh, -ec]
  args:
    - |
      curl --fail --silent --show-error --location --retry 5 --retry-all-errors --output /models/part "$MODEL_URL"
      echo "$MODEL_SHA256  /models/part" | sha256sum -c - || {
        echo "the model is not the one with the SHA-256 $MODEL_SHA256: $(sha256sum /models/part)" >&2
        exit 1
      }
      mv /models/part /models/model.onnx
  env:
    - {name: HOME, value: /tmp}
    - {name: MODEL_SHA256, value: {{ .pool.model.sha256 }}}
    {{- if .pool.model.urlSecret.name }}
    - name: MODEL_URL
      valueFrom: {secretKeyRef: {name: {{ .pool.model.urlSecret.name }}, key: {{ .pool.model.urlSecret.key | quote }}}}
    {{- else }}
    - {name: MODEL_URL, value: {{ .pool.model.url | quote }}}
    {{- end }}
  resources:
    requests: {cpu: 50m, memory: 32Mi}
    limits: {memory: 128Mi}
  securityContext:
    {{- include "sightline.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models}
    - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end }}
