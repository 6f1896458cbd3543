{{/* Where services send telemetry; nothing where there is none. */}}
{{- define "facet.otelEndpoint" -}}
{{- if .Values.otel.collector.enabled -}}
http://{{ include "facet.fullname" . }}-collector:4317
{{- else -}}
{{- .Values.otel.endpoint -}}
{{- end -}}
{{- end -}}

{{/* Settings of a service (root, service): where spans go and which, and where its log level stands. */}}
{{- define "facet.telemetryEnv" -}}
{{- $otel := .root.Values.otel -}}
{{- with include "facet.otelEndpoint" .root }}
- name: FACET_{{ $.service }}_TRACE_ENDPOINT
  value: {{ . | quote }}
- name: FACET_{{ $.service }}_TRACE_SAMPLE_RATIO
  value: {{ $otel.sampleRatio | quote }}
- name: FACET_{{ $.service }}_TRACE_CONTENT
  value: {{ $otel.content | quote }}
{{- end }}
- name: FACET_{{ .service }}_LOG_LEVEL_FILE
  value: /etc/facet/log-level/level
{{- end -}}

{{- define "facet.logLevelMount" -}}
- {name: log-level, mountPath: /etc/facet/log-level, readOnly: true}
{{- end -}}

{{/* An operator's, who changes the level of running pods with it. */}}
{{- define "facet.logLevelVolume" -}}
- name: log-level
  configMap: {name: {{ include "facet.fullname" . }}-log-level, optional: true}
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
