{{/* Secret with the certificate of the gateway. */}}
{{- define "facet.tlsSecret" -}}
{{- default (printf "%s-gateway-tls" (include "facet.fullname" .)) .Values.gateway.tls.existingSecret -}}
{{- end -}}

{{/* Environment of TLS and signed tokens; arguments: root. */}}
{{- define "facet.gatewaySecurityEnv" -}}
{{- $tls := .Values.gateway.tls -}}
{{- if ne .Values.tls.mode "none" }}
- name: FACET_GATEWAY_TLS_CERTIFICATE_FILE
  value: /etc/facet/tls/tls.crt
- name: FACET_GATEWAY_TLS_KEY_FILE
  value: /etc/facet/tls/tls.key
{{- if $tls.clientCaSecret }}
- name: FACET_GATEWAY_TLS_CLIENT_CA_FILE
  value: /etc/facet/client-ca/ca.crt
{{- end }}
{{- end }}
{{- with .Values.gateway.oidc }}
{{- if .issuer }}
- name: FACET_GATEWAY_OIDC_ISSUER
  value: {{ .issuer | quote }}
- name: FACET_GATEWAY_OIDC_AUDIENCE
  value: {{ .audience | quote }}
- name: FACET_GATEWAY_OIDC_JWKS
  value: {{ .jwks | quote }}
- name: FACET_GATEWAY_OIDC_LEEWAY_SECONDS
  value: {{ .leewaySeconds | quote }}
{{- range $field, $value := dict "TENANT_CLAIM" .tenantClaim "ROLES_CLAIM" .rolesClaim "ADMIN_ROLE" .adminRole }}
{{- with $value }}
- name: FACET_GATEWAY_OIDC_{{ $field }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Name of the ConfigMap with the tenants file; empty: there is none. */}}
{{- define "facet.tenantsConfigMap" -}}
{{- if .Values.auth.existingTenantsConfigMap -}}
{{- .Values.auth.existingTenantsConfigMap -}}
{{- else if .Values.auth.tenants -}}
{{- printf "%s-tenants" (include "facet.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* Where gateways run: where told, and softly apart from each other unless told how. */}}
{{- define "facet.gatewayPlacement" -}}
{{- $gateway := .Values.gateway -}}
{{- $spread := $gateway.topologySpreadConstraints -}}
{{- if not $spread -}}
{{- $labels := include "facet.selector" (dict "root" . "component" "gateway") | fromYaml -}}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" -}}
{{- $spread = append $spread (dict "maxSkew" 1 "topologyKey" . "whenUnsatisfiable" "ScheduleAnyway" "labelSelector" (dict "matchLabels" $labels)) -}}
{{- end -}}
{{- end -}}
{{- include "facet.placement" (merge (dict "topologySpreadConstraints" $spread) $gateway) -}}
{{- end -}}

{{/* Where Google's load balancers ask for health. */}}
{{- define "facet.httpHealthPort" -}}8476{{- end -}}

{{/* Annotations of the Service for clients: given ones win. */}}
{{- define "facet.serviceAnnotations" -}}
{{- $annotations := deepCopy .Values.gateway.service.annotations -}}
{{- if eq .Values.ingress.class "gce" -}}
{{- $annotations = merge $annotations (dict
      "cloud.google.com/neg" (toJson (dict "ingress" true))
      "cloud.google.com/app-protocols" (toJson (dict "grpc" "HTTP2"))
      "cloud.google.com/backend-config" (toJson (dict "default" (printf "%s-gateway" (include "facet.fullname" .))))) -}}
{{- end -}}
{{- toYaml $annotations -}}
{{- end -}}
