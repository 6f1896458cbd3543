{{/* Renders nothing: refuses combinations of values of the network and of telemetry. */}}
{{- define "facet.validateNet" -}}
{{- range .Values.networkPolicy.dns -}}
{{- if and (not .podSelector) (not .namespaceSelector) (not .ipBlock) -}}
{{- fail "networkPolicy: dns has an entry that means everybody: name the name servers by podSelector, namespaceSelector or ipBlock" -}}
{{- end -}}
{{- end -}}
{{- end -}}
