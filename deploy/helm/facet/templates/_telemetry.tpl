{{/* Where services send telemetry; nothing where there is none. */}}
{{- define "facet.otelEndpoint" -}}
{{- if .Values.otel.collector.enabled -}}
{{ eq .Values.tls.mode "none" | ternary "http" "https" }}://{{ include "facet.fullname" . }}-collector:4317
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
{{- if include "facet.collectorTlsSecret" $.root }}
- name: FACET_{{ $.service }}_TRACE_CA_FILE
  value: /etc/facet/otlp/trace-ca.crt
{{- end }}
- name: FACET_{{ $.service }}_TRACE_SAMPLE_RATIO
  value: {{ $otel.sampleRatio | quote }}
- name: FACET_{{ $.service }}_TRACE_CONTENT
  value: {{ $otel.content | quote }}
{{- end }}
- name: FACET_{{ .service }}_LOG_LEVEL_FILE
  value: /etc/facet/log-level/level
{{- end -}}

{{/* Secret with the certificate of the autoscaler's listeners, for KEDA and workers; empty: they have none. */}}
{{- define "facet.scalerTlsSecret" -}}
{{- if and (has .Values.autoscaler.mode (list "keda" "standalone")) (ne .Values.tls.mode "none") -}}
{{- default (printf "%s-autoscaler-tls" (include "facet.fullname" .)) .Values.autoscaler.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* Secret with the certificate of the collector; empty: it has none, or there is no collector. */}}
{{- define "facet.collectorTlsSecret" -}}
{{- if and .Values.otel.collector.enabled (ne .Values.tls.mode "none") -}}
{{- default (printf "%s-collector-tls" (include "facet.fullname" .)) .Values.otel.collector.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* CAs of those that a service (root, service) sends spans to, as sources of a projected volume. */}}
{{- define "facet.otlpSources" -}}
{{- with include "facet.collectorTlsSecret" .root }}
- secret: {name: {{ . }}, items: [{key: ca.crt, path: trace-ca.crt}]}
{{- end }}
{{- if eq .service "WORKER" }}
{{- with include "facet.scalerTlsSecret" .root }}
- secret: {name: {{ . }}, items: [{key: ca.crt, path: timing-ca.crt}]}
{{- end }}
{{- end }}
{{- end -}}

{{- define "facet.otlpMount" -}}
{{- if include "facet.otlpSources" . | trim -}}
- {name: otlp, mountPath: /etc/facet/otlp, readOnly: true}
{{- end -}}
{{- end -}}

{{- define "facet.otlpVolume" -}}
{{- with include "facet.otlpSources" . | trim -}}
- name: otlp
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end -}}
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
