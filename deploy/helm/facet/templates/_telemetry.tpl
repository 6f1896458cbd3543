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

{{/* Where every service serves its metrics. */}}
{{- define "facet.metricsPort" -}}9464{{- end -}}

{{/* Who scrapes, as NetworkPolicyPeers: those that are named, and the collectors of Google's managed
Prometheus where it is told to scrape, which run elsewhere under Autopilot. */}}
{{- define "facet.scrapers" -}}
{{- $from := .Values.monitoring.from -}}
{{- if .Values.monitoring.podMonitoring.enabled -}}
{{- range list "gmp-system" "gke-gmp-system" -}}
{{- $from = append $from (dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" .))) -}}
{{- end -}}
{{- end -}}
{{- toJson $from -}}
{{- end -}}
