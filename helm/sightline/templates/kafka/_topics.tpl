{{- define "sightline.topicsEnv" -}}
- {name: SIGHTLINE_PARTITIONS, value: {{ int .Values.kafka.partitions | quote }}}
- {name: SIGHTLINE_REPLICATION, value: {{ int .Values.kafka.replication | quote }}}
- {name: SIGHTLINE_POOLS, value: {{ include "sightline.poolNames" . | quote }}}
{{- end }}

{{/* The topics that `sightline topics apply` makes: name, policy, days (0: compacted), partitions (0: as all). */}}
{{- define "sightline.topicList" -}}
{{- $topics := list -}}
{{- range list "cameras" "placements" "pods" "camera-status" "job-status" "checkpoints" -}}
{{- $topics = append $topics (dict "name" . "days" 0 "partitions" 0) -}}
{{- end -}}
{{- $topics = append $topics (dict "name" "events" "days" 7 "partitions" 0) -}}
{{- $topics = append $topics (dict "name" "detections" "days" 1 "partitions" 0) -}}
{{- $topics = append $topics (dict "name" "audit" "days" 90 "partitions" 1) -}}
{{- $topics = append $topics (dict "name" "dead-letter" "days" 14 "partitions" 1) -}}
{{- range splitList "," (include "sightline.poolNames" .) -}}
{{- $topics = append $topics (dict "name" (printf "slots.%s" .) "days" 1 "partitions" 0) -}}
{{- $topics = append $topics (dict "name" (printf "jobs.%s" .) "days" 7 "partitions" 0) -}}
{{- end -}}
{{- toYaml $topics -}}
{{- end }}

{{/* (dict "c" COMPONENT): what a component may do with Kafka: docs/OPERATIONS.md. A list of [type, name without the prefix,
pattern, operations]. */}}
{{- define "sightline.rights" -}}
{{- $rights := list -}}
{{- $read := list "Read" "Describe" -}}
{{- $write := list "Write" "Describe" -}}
{{- $both := list "Read" "Write" "Describe" -}}
{{- $c := .c -}}
{{- if eq $c.component "registry" -}}
{{- range list "cameras" "placements" "job-status" "audit" "dead-letter" }}{{ $rights = append $rights (list "topic" . "literal" $both) }}{{ end -}}
{{- range list "camera-status" "pods" "events" }}{{ $rights = append $rights (list "topic" . "literal" $read) }}{{ end -}}
{{- $rights = append $rights (list "topic" "jobs." "prefix" $both) -}}
{{- $rights = append $rights (list "topic" "slots." "prefix" (list "Describe")) -}}
{{- $rights = append $rights (list "group" "sightline-jobs-" "prefix" (list "Describe")) -}}
{{- $rights = append $rights (list "transactionalId" "registry" "prefix" $write) -}}
{{- else if eq $c.component "pipeline" -}}
{{- range list "cameras" "placements" }}{{ $rights = append $rights (list "topic" . "literal" $read) }}{{ end -}}
{{- range list "camera-status" "pods" }}{{ $rights = append $rights (list "topic" . "literal" $both) }}{{ end -}}
{{- range list "detections" "dead-letter" }}{{ $rights = append $rights (list "topic" . "literal" $write) }}{{ end -}}
{{- $rights = append $rights (list "topic" (printf "slots.%s" $c.pool) "literal" $read) -}}
{{- $rights = append $rights (list "group" (printf "sightline-pipeline-%s" $c.pool) "literal" $read) -}}
{{- $rights = append $rights (list "transactionalId" (printf "pod-%s" $c.name) "prefix" $write) -}}
{{- else if eq $c.component "worker" -}}
{{- range list (printf "jobs.%s" $c.pool) "job-status" }}{{ $rights = append $rights (list "topic" . "literal" $both) }}{{ end -}}
{{- range list "detections" "dead-letter" }}{{ $rights = append $rights (list "topic" . "literal" $write) }}{{ end -}}
{{- $rights = append $rights (list "group" (printf "sightline-jobs-%s" $c.pool) "literal" $read) -}}
{{- $rights = append $rights (list "transactionalId" (printf "worker-%s" $c.name) "prefix" $write) -}}
{{- else if eq $c.component "events" -}}
{{- $rights = append $rights (list "topic" "detections" "literal" $read) -}}
{{- $rights = append $rights (list "topic" "checkpoints" "literal" $both) -}}
{{- range list "events" "dead-letter" }}{{ $rights = append $rights (list "topic" . "literal" $write) }}{{ end -}}
{{- $rights = append $rights (list "group" "sightline-events" "literal" $read) -}}
{{- $rights = append $rights (list "transactionalId" "events-" "prefix" $write) -}}
{{- else if eq $c.component "store" -}}
{{- range list "detections" "events" }}{{ $rights = append $rights (list "topic" . "literal" $read) }}{{ end -}}
{{- $rights = append $rights (list "topic" "checkpoints" "literal" $both) -}}
{{- $rights = append $rights (list "topic" "dead-letter" "literal" $write) -}}
{{- $rights = append $rights (list "group" "sightline-store-" "prefix" $read) -}}
{{- $rights = append $rights (list "transactionalId" "store-" "prefix" $write) -}}
{{- else if eq $c.component "alerts" -}}
{{- $rights = append $rights (list "topic" "events" "literal" $read) -}}
{{- $rights = append $rights (list "topic" "dead-letter" "literal" $write) -}}
{{- $rights = append $rights (list "group" "sightline-alerts-" "prefix" $read) -}}
{{- else if eq $c.component "archive" -}}
{{- range list "detections" "events" }}{{ $rights = append $rights (list "topic" . "literal" $read) }}{{ end -}}
{{- $rights = append $rights (list "group" "sightline-archive-" "prefix" $read) -}}
{{- end -}}
{{- toYaml $rights -}}
{{- end }}
