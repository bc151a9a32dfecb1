{{/* How every pod, and KEDA, reaches Kafka. All by environment; what is secret is in files. */}}

{{/* (dict "root" $ "c" COMPONENT): whose credentials a component has: secret, name, usernameKey, passwordKey. */}}
{{- define "sightline.kafkaUser" -}}
{{- if .c.settings.kafkaUser.secret -}}
{{- toYaml .c.settings.kafkaUser -}}
{{- else if .root.Values.strimzi.users -}}
{{- dict "secret" .c.name "name" .c.name "usernameKey" "" "passwordKey" "password" | toYaml -}}
{{- else -}}
{{- toYaml .root.Values.kafka.sasl.user -}}
{{- end -}}
{{- end }}

{{- define "sightline.kafkaMechanism" -}}
{{- .Values.kafka.sasl.mechanism | default (ternary "SCRAM-SHA-512" "" .Values.strimzi.users) -}}
{{- end }}

{{/* (dict "root" $ "c" COMPONENT) */}}
{{- define "sightline.kafkaEnv" -}}
{{- $kafka := .root.Values.kafka -}}
{{- $mechanism := include "sightline.kafkaMechanism" .root -}}
- {name: SIGHTLINE_KAFKA, value: {{ $kafka.bootstrapServers | quote }}}
- {name: SIGHTLINE_TOPIC_PREFIX, value: {{ $kafka.topicPrefix | quote }}}
{{- if or $kafka.tls.enabled $mechanism }}
- {name: SIGHTLINE_KAFKA_SECURITY_PROTOCOL, value: {{ printf "%s%s" (ternary "SASL_" "" (ne $mechanism "")) (ternary "SSL" "PLAINTEXT" $kafka.tls.enabled) }}}
{{- end }}
{{- if $kafka.tls.enabled }}
{{- if $kafka.tls.ca.secret }}
- {name: SIGHTLINE_KAFKA_SSL_CA_LOCATION, value: /etc/sightline/kafka-ca/ca.crt}
{{- end }}
{{- if $kafka.tls.client.secret }}
- {name: SIGHTLINE_KAFKA_SSL_CERTIFICATE_LOCATION, value: /etc/sightline/kafka-client/tls.crt}
- {name: SIGHTLINE_KAFKA_SSL_KEY_LOCATION, value: /etc/sightline/kafka-client/tls.key}
{{- end }}
{{- end }}
{{- if $mechanism }}
{{- $user := include "sightline.kafkaUser" . | fromYaml }}
- {name: SIGHTLINE_KAFKA_SASL_MECHANISM, value: {{ $mechanism }}}
{{- if $user.name }}
- {name: SIGHTLINE_KAFKA_SASL_USERNAME, value: {{ $user.name | quote }}}
{{- else }}
- {name: SIGHTLINE_KAFKA_SASL_USERNAME_FILE, value: /etc/sightline/kafka-user/username}
{{- end }}
- {name: SIGHTLINE_KAFKA_SASL_PASSWORD_FILE, value: /etc/sightline/kafka-user/password}
{{- end }}
{{- range $key, $value := $kafka.properties }}
- {name: SIGHTLINE_KAFKA_{{ $key | upper | replace "." "_" }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "sightline.kafkaMounts" -}}
{{- $tls := .root.Values.kafka.tls -}}
{{- if and $tls.enabled $tls.ca.secret }}
- {name: kafka-ca, mountPath: /etc/sightline/kafka-ca, readOnly: true}
{{- end }}
{{- if and $tls.enabled $tls.client.secret }}
- {name: kafka-client, mountPath: /etc/sightline/kafka-client, readOnly: true}
{{- end }}
{{- if include "sightline.kafkaMechanism" .root }}
- {name: kafka-user, mountPath: /etc/sightline/kafka-user, readOnly: true}
{{- end }}
{{- end }}

{{- define "sightline.kafkaVolumes" -}}
{{- $tls := .root.Values.kafka.tls -}}
{{- if and $tls.enabled $tls.ca.secret }}
- name: kafka-ca
  secret:
    secretName: {{ $tls.ca.secret }}
    defaultMode: 0440
    items: [{key: {{ $tls.ca.key | quote }}, path: ca.crt}]
{{- end }}
{{- if and $tls.enabled $tls.client.secret }}
- name: kafka-client
  secret:
    secretName: {{ $tls.client.secret }}
    defaultMode: 0440
    items:
      - {key: {{ $tls.client.certificate | quote }}, path: tls.crt}
      - {key: {{ $tls.client.key | quote }}, path: tls.key}
{{- end }}
{{- if include "sightline.kafkaMechanism" .root }}
{{- $user := include "sightline.kafkaUser" . | fromYaml }}
- name: kafka-user
  secret:
    secretName: {{ $user.secret }}
    defaultMode: 0440
    items:
      {{- if not $user.name }}
      - {key: {{ $user.usernameKey | quote }}, path: username}
      {{- end }}
      - {key: {{ $user.passwordKey | quote }}, path: password}
{{- end }}
{{- end }}

{{/* "true" where KEDA needs more than an address to reach Kafka. */}}
{{- define "sightline.kafkaNeedsAuthentication" -}}
{{- $tls := .Values.kafka.tls -}}
{{- if or (include "sightline.kafkaMechanism" .) (and $tls.enabled (or $tls.ca.secret $tls.client.secret)) }}true{{ end -}}
{{- end }}

{{/* (dict "root" $ "c" COMPONENT "group" … "topic" … "threshold" N "metadata" DICT): a trigger on a group's lag. Group and topic
without the prefix. */}}
{{- define "sightline.kafkaTrigger" -}}
{{- $root := .root -}}
{{- $mechanism := include "sightline.kafkaMechanism" $root -}}
- type: kafka
  name: {{ .group }}-{{ .topic | replace "." "-" }}
  useCachedMetrics: true
  metadata:
    bootstrapServers: {{ $root.Values.kafka.bootstrapServers | quote }}
    consumerGroup: {{ printf "%ssightline-%s" $root.Values.kafka.topicPrefix .group | quote }}
    topic: {{ printf "%s%s" $root.Values.kafka.topicPrefix .topic | quote }}
    lagThreshold: {{ int64 .threshold | quote }}
    activationLagThreshold: "0"
    # A group that has committed nothing yet has all of the topic before it.
    offsetResetPolicy: earliest
    allowIdleConsumers: "false"
    # A record that is worked on for an hour is no lag to be left out.
    excludePersistentLag: "false"
    scaleToZeroOnInvalidOffset: "false"
    version: {{ $root.Values.keda.kafkaVersion | quote }}
    {{- with .metadata }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    tls: {{ ternary "enable" "disable" $root.Values.kafka.tls.enabled }}
    {{- if $mechanism }}
    sasl: {{ get (dict "SCRAM-SHA-512" "scram_sha512" "SCRAM-SHA-256" "scram_sha256" "PLAIN" "plaintext") $mechanism }}
    {{- end }}
  {{- if include "sightline.kafkaNeedsAuthentication" $root }}
  authenticationRef: {name: {{ .c.name }}-kafka}
  {{- end }}
{{- end }}
