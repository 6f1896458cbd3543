{{/* Where services send telemetry; nothing where there is none. */}}
{{- define "facet.otelEndpoint" -}}
{{- if .Values.otel.collector.enabled -}}
http://{{ include "facet.fullname" . }}-collector:4317
{{- else -}}
{{- .Values.otel.endpoint -}}
{{- end -}}
{{- end -}}

{{- define "facet.otelEnv" -}}
{{- with include "facet.otelEndpoint" . }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- end -}}
