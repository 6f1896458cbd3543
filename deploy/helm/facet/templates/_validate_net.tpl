{{/* Renders nothing: refuses combinations of values of the network and of telemetry. */}}
{{- define "facet.validateNet" -}}
{{- include "facet.validateTls" . -}}
{{- include "facet.validateRedis" . -}}
{{- include "facet.validateIngress" . -}}
{{- include "facet.validateOtel" . -}}
{{- include "facet.validateMonitoring" . -}}
{{- range .Values.networkPolicy.dns -}}
{{- if and (not .podSelector) (not .namespaceSelector) (not .ipBlock) -}}
{{- fail "networkPolicy: dns has an entry that means everybody: name the name servers by podSelector, namespaceSelector or ipBlock" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "facet.validateTls" -}}
{{- $mode := .Values.tls.mode -}}
{{- $gateway := .Values.gateway.tls -}}
{{- $redis := .Values.redis.embedded -}}
{{- $scaler := .Values.autoscaler.tls -}}
{{- $collector := .Values.otel.collector -}}
{{- if eq $mode "secrets" -}}
{{- if not $gateway.existingSecret -}}
{{- fail "tls: mode secrets needs the gateway's certificate: set gateway.tls.existingSecret" -}}
{{- end -}}
{{- if and $redis.enabled (not $redis.tls.existingSecret) -}}
{{- fail "tls: mode secrets needs the certificate of the embedded Redis: set redis.embedded.tls.existingSecret" -}}
{{- end -}}
{{- if and (has .Values.autoscaler.mode (list "keda" "standalone")) (not $scaler.existingSecret) -}}
{{- fail "tls: mode secrets needs the certificate of the autoscaler, which KEDA and workers ask: set autoscaler.tls.existingSecret" -}}
{{- end -}}
{{- if and $collector.enabled (not $collector.tls.existingSecret) -}}
{{- fail "tls: mode secrets needs the certificate of the collector: set otel.collector.tls.existingSecret" -}}
{{- end -}}
{{- else if or $gateway.existingSecret $redis.tls.existingSecret $scaler.existingSecret $collector.tls.existingSecret -}}
{{- fail (printf "tls: certificates are given, but tls.mode is %s: set it to secrets" $mode) -}}
{{- end -}}
{{- if and (eq $mode "certManager") (not .Values.tls.issuerRef.name) -}}
{{- fail "tls: mode certManager needs an issuer: set tls.issuerRef.name and kind" -}}
{{- end -}}
{{- if and (eq $mode "none") $gateway.clientCaSecret -}}
{{- fail "tls: gateway.tls.clientCaSecret is set, but tls.mode is none: set it to secrets or certManager" -}}
{{- end -}}
{{- if and .Values.test.apiKeySecret $gateway.clientCaSecret -}}
{{- fail "test: the test shows no certificate: leave test.apiKeySecret empty with gateway.tls.clientCaSecret" -}}
{{- end -}}
{{- end -}}

{{- define "facet.validateRedis" -}}
{{- $redis := .Values.redis -}}
{{- $external := $redis.external -}}
{{- if and $redis.embedded.enabled (or (ne $external.credentials "url") $external.passwordSecret $external.caSecret $external.certificateSecret) -}}
{{- fail "redis: redis.external says how to reach a Redis of your own: set redis.embedded.enabled to false, or leave it as it is" -}}
{{- end -}}
{{- range $external.ports -}}
{{- if and .endPort (lt (int .endPort) (int .port)) -}}
{{- fail (printf "redis: external.ports ends at %d, below its port %d: swap them" (int .endPort) (int .port)) -}}
{{- end -}}
{{- end -}}
{{- if ne (eq $external.credentials "file") (ne $external.passwordSecret "") -}}
{{- fail "redis: external.credentials file and external.passwordSecret belong together: set both or none" -}}
{{- end -}}
{{- end -}}

{{- define "facet.validateIngress" -}}
{{- $values := .Values -}}
{{- with .Values.ingress -}}
{{- if .class -}}
{{- if not .host -}}
{{- fail "ingress: the load balancer needs a name: set ingress.host" -}}
{{- end -}}
{{- if and (not .tlsSecret) (or (eq .class "nginx") (not .annotations)) -}}
{{- fail "ingress: clients speak HTTP/2 with TLS alone: set ingress.tlsSecret, or for class gce ingress.annotations with a managed or pre-shared certificate" -}}
{{- end -}}
{{- if $values.gateway.tls.clientCaSecret -}}
{{- fail "ingress: load balancers show pods no certificate: leave gateway.tls.clientCaSecret empty" -}}
{{- end -}}
{{- if eq .class "gce" -}}
{{- if eq $values.tls.mode "none" -}}
{{- fail "ingress: Google's load balancers speak HTTP/2 to pods with TLS alone: set tls.mode to secrets or certManager" -}}
{{- end -}}
{{- if lt (int .timeoutSeconds) (int $values.gateway.maxDeadlineSeconds) -}}
{{- fail "ingress: timeoutSeconds would end streams before gateway.maxDeadlineSeconds does: raise it, or lower that" -}}
{{- end -}}
{{- range $port := list $values.gateway.port $values.gateway.admin.port -}}
{{- if eq (int $port) (include "facet.httpHealthPort" $ | int) -}}
{{- fail (printf "ingress: load balancers ask for health on port %d: give gateway.port or gateway.admin.port another number" (int $port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if or .host .tlsSecret -}}
{{- fail "ingress: host or tlsSecret is given, but there is no Ingress: set ingress.class to gce or nginx" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "facet.validateOtel" -}}
{{- $policies := .Values.networkPolicy.enabled -}}
{{- with .Values.otel -}}
{{- if and .endpoint .collector.enabled -}}
{{- fail "otel: set otel.endpoint or otel.collector.enabled, not both" -}}
{{- end -}}
{{- if and .endpoint $policies (not .to) -}}
{{- fail "otel: policies cut otel.endpoint off: name it in otel.to, or set networkPolicy.enabled to false" -}}
{{- end -}}
{{- if and .collector.enabled (not .collector.exporters) -}}
{{- fail "otel: the collector needs somewhere to send to: set otel.collector.exporters" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "facet.validateMonitoring" -}}
{{- $policies := .Values.networkPolicy.enabled -}}
{{- $scrapers := include "facet.scrapers" . | fromJsonArray -}}
{{- with .Values.monitoring -}}
{{- if and .dashboards.enabled $policies (not $scrapers) -}}
{{- fail "monitoring: dashboards show what policies let nobody scrape: set monitoring.from or monitoring.podMonitoring.enabled, or networkPolicy.enabled to false" -}}
{{- end -}}
{{- if and (ne .rules.kind "none") $policies (not $scrapers) -}}
{{- fail "monitoring: rules judge what policies let nobody scrape: set monitoring.from or monitoring.podMonitoring.enabled, or networkPolicy.enabled to false" -}}
{{- end -}}
{{- end -}}
{{- end -}}
