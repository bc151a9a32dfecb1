{{/* Names, labels and images. */}}

{{- define "sightline.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name -}}
{{- end -}}
{{- end }}

{{/* What an object is of: (dict "root" $ "c" COMPONENT). The chart's version is in no selector: it changes. */}}
{{- define "sightline.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: sightline
{{ include "sightline.selector" . }}
{{- end }}

{{- define "sightline.selector" -}}
app.kubernetes.io/name: sightline
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .c }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
sightline/pool: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* (dict "root" $ "image" IMAGE "tag" TAG-WITHOUT-ONE): registry/repository@digest, or :tag. */}}
{{- define "sightline.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.images.registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.image.tag | default .tag) -}}
{{- end -}}
{{- end }}

{{- define "sightline.servicesImage" -}}
{{- include "sightline.image" (dict "root" . "image" .Values.images.services "tag" .Chart.AppVersion) -}}
{{- end }}

{{/* (dict "root" $ "pool" SETTINGS-OF-A-POOL) */}}
{{- define "sightline.pipelineImage" -}}
{{- $variant := ternary "cuda" "cpu" (eq (include "sightline.usesGpu" .pool) "true") -}}
{{- $tag := printf "%s-%s" .root.Chart.AppVersion $variant -}}
{{- $image := ternary .pool.image .root.Values.images.pipeline (ne .pool.image.repository "") -}}
{{- include "sightline.image" (dict "root" .root "image" $image "tag" $tag) -}}
{{- end }}

{{/* (dict "root" $ "pool" SETTINGS-OF-A-POOL): "true" where the image is none of docker/, as far as its name says. */}}
{{- define "sightline.ownImage" -}}
{{- $image := .root.Values.images.pipeline -}}
{{- if or .pool.image.repository (ne $image.repository "sightline-pipeline") $image.tag $image.digest }}true{{ end -}}
{{- end }}

{{- define "sightline.usesGpu" -}}
{{- if has .device (list "cuda" "tensorrt") }}true{{ end -}}
{{- end }}

{{/* (dict "root" $ "value" auto|always|never "api" GROUP/VERSION): "true" where it is to be made. */}}
{{- define "sightline.wanted" -}}
{{- if or (eq .value "always") (and (eq .value "auto") (.root.Capabilities.APIVersions.Has .api)) }}true{{ end -}}
{{- end }}

{{- define "sightline.hasKeda" -}}
{{- include "sightline.wanted" (dict "root" . "value" .Values.keda.enabled "api" "keda.sh/v1alpha1") -}}
{{- end }}
