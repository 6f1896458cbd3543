{{/* Secret with the password of the embedded Redis. */}}
{{- define "facet.redisSecret" -}}
{{- default (printf "%s-redis" (include "facet.fullname" .)) .Values.redis.auth.existingSecret -}}
{{- end -}}

{{/* Secret with the certificate of the embedded Redis. */}}
{{- define "facet.redisTlsSecret" -}}
{{- default (printf "%s-redis-tls" (include "facet.fullname" .)) .Values.redis.embedded.tls.existingSecret -}}
{{- end -}}

{{/* What clients of Redis read from Secrets, as sources of a projected volume. */}}
{{- define "facet.redisSources" -}}
{{- $redis := .Values.redis -}}
{{- if $redis.embedded.enabled -}}
- secret: {name: {{ include "facet.redisSecret" . }}, items: [{key: {{ $redis.auth.secretKey }}, path: password}]}
{{- if ne .Values.tls.mode "none" }}
- secret: {name: {{ include "facet.redisTlsSecret" . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- else -}}
{{- with $redis.external -}}
{{- if eq .credentials "file" }}
- secret: {name: {{ .passwordSecret }}, items: [{key: {{ .passwordSecretKey }}, path: password}]}
{{- end }}
{{- with .caSecret }}
- secret: {name: {{ . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- with .certificateSecret }}
- secret: {name: {{ . }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "facet.redisMount" -}}
{{- if include "facet.redisSources" . -}}
- {name: redis, mountPath: /etc/facet/redis, readOnly: true}
{{- end -}}
{{- end -}}

{{/* Secrets as a volume: a change of them reaches the pod, and connections made then, by itself. */}}
{{- define "facet.redisVolume" -}}
{{- with include "facet.redisSources" . -}}
- name: redis
  projected:
    defaultMode: 0440
    sources:
      {{- . | trim | nindent 6 }}
{{- end -}}
{{- end -}}

{{/* Environment that says where Redis is; arguments: root, service (GATEWAY, WORKER, AUTOSCALER). */}}
{{- define "facet.redisEnv" -}}
{{- $redis := .root.Values.redis -}}
{{- $files := include "facet.redisSources" .root -}}
- name: FACET_{{ .service }}_REDIS_URL
{{- if $redis.embedded.enabled }}
  value: {{ eq .root.Values.tls.mode "none" | ternary "redis" "rediss" }}://{{ include "facet.fullname" .root }}-redis:6379/0
{{- else }}
  valueFrom:
    secretKeyRef:
      name: {{ $redis.external.existingSecret }}
      key: {{ $redis.external.secretKey }}
{{- end }}
- name: FACET_{{ .service }}_REDIS_CREDENTIALS
  value: {{ $redis.embedded.enabled | ternary "file" $redis.external.credentials }}
{{- range $field, $file := dict "PASSWORD_FILE" "password" "CA_FILE" "ca.crt" "CERTIFICATE_FILE" "tls.crt" "KEY_FILE" "tls.key" }}
{{- if contains (printf "path: %s}" $file) $files }}
- name: FACET_{{ $.service }}_REDIS_{{ $field }}
  value: /etc/facet/redis/{{ $file }}
{{- end }}
{{- end }}
{{- end -}}
