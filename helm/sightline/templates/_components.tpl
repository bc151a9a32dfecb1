{{/* What this release consists of. A component is a dict: name (of its objects), component, pool, kind, scaled, settings. */}}

{{/* (list BASE OVER): puts what OVER says into BASE, maps into maps. `mergeOverwrite` would do, but does nothing for null. */}}
{{- define "sightline.overlay" -}}
{{- $base := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- if and (kindIs "map" $value) (kindIs "map" (get $base $key)) -}}
{{- include "sightline.overlay" (list (get $base $key) $value) -}}
{{- else -}}
{{- $_ := set $base $key $value -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* (dict "root" $ "pool" NAME): a pool's settings, with those of poolDefaults where it says nothing. */}}
{{- define "sightline.pool" -}}
{{- $pool := deepCopy .root.Values.poolDefaults -}}
{{- include "sightline.overlay" (list $pool (get .root.Values.pools .pool | default dict)) -}}
{{- toYaml $pool -}}
{{- end }}

{{/* (dict "root" $ "component" … "pool" … "kind" … "scaled" … "own" SETTINGS): one component, with what all pods share. */}}
{{- define "sightline.component" -}}
{{- $settings := deepCopy .root.Values.pod -}}
{{- include "sightline.overlay" (list $settings .own) -}}
{{- $parts := list (include "sightline.fullname" .root) .component -}}
{{- with .pool }}{{ $parts = append $parts . }}{{ end -}}
{{- dict "name" (join "-" $parts) "component" .component "pool" .pool "kind" .kind "scaled" .scaled "settings" $settings | toYaml -}}
{{- end }}

{{- define "sightline.registry" -}}
{{- include "sightline.component" (dict "root" . "component" "registry" "pool" "" "kind" "Deployment" "scaled" false "own" .Values.registry) -}}
{{- end }}

{{- define "sightline.topics" -}}
{{- include "sightline.component" (dict "root" . "component" "topics" "pool" "" "kind" "Job" "scaled" false "own" .Values.topics.hook) -}}
{{- end }}

{{/* (dict "root" $ "pool" NAME "component" pipeline|worker) */}}
{{- define "sightline.poolComponent" -}}
{{- $pool := include "sightline.pool" . | fromYaml -}}
{{- $own := get $pool .component -}}
{{- $claims := and (eq .component "pipeline") (eq (dig "spool" "type" "" $own) "claim") -}}
{{- $scaled := and $own.scaling.enabled (eq (include "sightline.hasKeda" .root) "true") -}}
{{- include "sightline.component" (dict "root" .root "component" .component "pool" .pool "kind" (ternary "StatefulSet" "Deployment" $claims) "scaled" $scaled "own" $own) -}}
{{- end }}

{{/* (dict "root" $ "consumer" NAME) */}}
{{- define "sightline.consumer" -}}
{{- $own := get .root.Values.consumers .consumer -}}
{{- $scaled := and $own.scaling.enabled (eq (include "sightline.hasKeda" .root) "true") -}}
{{- include "sightline.component" (dict "root" .root "component" .consumer "pool" "" "kind" "Deployment" "scaled" $scaled "own" $own) -}}
{{- end }}

{{/* All that run for good, as a list. */}}
{{- define "sightline.components" -}}
{{- $all := list -}}
{{- if .Values.registry.enabled }}{{ $all = append $all (include "sightline.registry" . | fromYaml) }}{{ end -}}
{{- range $pool := keys .Values.pools | sortAlpha -}}
{{- $settings := include "sightline.pool" (dict "root" $ "pool" $pool) | fromYaml -}}
{{- range $component := list "pipeline" "worker" -}}
{{- if (get $settings $component).enabled -}}
{{- $all = append $all (include "sightline.poolComponent" (dict "root" $ "pool" $pool "component" $component) | fromYaml) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $consumer := list "events" "store" "alerts" "archive" -}}
{{- if (get $.Values.consumers $consumer).enabled -}}
{{- $all = append $all (include "sightline.consumer" (dict "root" $ "consumer" $consumer) | fromYaml) -}}
{{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end }}

{{/* The pools whose topics are made: `default`, to which cameras and jobs belong that name none, and those of `pools`. */}}
{{- define "sightline.poolNames" -}}
{{- concat (list "default") (keys .Values.pools) | uniq | sortAlpha | join "," -}}
{{- end }}

{{/* The pools that run the sample's model, joined by commas. */}}
{{- define "sightline.samplePools" -}}
{{- $found := list -}}
{{- range $name := keys .Values.pools | sortAlpha -}}
{{- $pool := include "sightline.pool" (dict "root" $ "pool" $name) | fromYaml -}}
{{- $runs := or $pool.pipeline.enabled $pool.worker.enabled -}}
{{- if and $runs (eq "sample" (include "sightline.modelSource" (dict "root" $ "name" $name "pool" $pool))) -}}
{{- $found = append $found $name -}}
{{- end -}}
{{- end -}}
{{- join "," $found -}}
{{- end }}

{{- define "sightline.registryUrl" -}}
{{- if .Values.keda.registryUrl -}}
{{- trimSuffix "/" .Values.keda.registryUrl -}}
{{- else -}}
{{- printf "%s://%s-registry.%s.svc:%d" (ternary "https" "http" (ne .Values.registry.tls.secret "")) (include "sightline.fullname" .) .Release.Namespace (int .Values.registry.service.port) -}}
{{- end -}}
{{- end }}

{{- define "sightline.tokensSecret" -}}
{{- if eq .Values.registry.auth.mode "secret" -}}
{{- .Values.registry.auth.secret -}}
{{- else -}}
{{- printf "%s-registry-tokens" (include "sightline.fullname" .) -}}
{{- end -}}
{{- end }}

{{/* The targets of alerts, joined by commas: each is a consumer group. */}}
{{- define "sightline.alertTargets" -}}
{{- $alerts := .Values.consumers.alerts -}}
{{- $targets := ternary $alerts.targets (keys (dig "targets" dict $alerts.rules)) (ne $alerts.rulesSecret "") -}}
{{- $targets | sortAlpha | join "," -}}
{{- end }}
