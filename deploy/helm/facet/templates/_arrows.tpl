{{/* Who may talk to whom: the one table from which all NetworkPolicies come. Each arrow has `from` and
`to`, names of facet.parties, and `ports`: numbers of TCP ports, 53, which is UDP too, or ranges
(`port`, `endPort`); none means all. Both ends of
an arrow get a rule if they are pods of the release. Probes of the kubelet come from the pod's own
node, which policies do not cut off. */}}
{{- define "facet.arrows" -}}
{{- $values := .Values -}}
{{- $scaler := $values.autoscaler.mode -}}
{{- $scaled := has $scaler (list "keda" "standalone") -}}
{{- $users := list "gateway" "worker" -}}
{{- if $scaled -}}{{- $users = append $users "autoscaler" -}}{{- end -}}
- {from: [clients], to: [gateway], ports: [{{ $values.gateway.port }}]}
{{- if and $values.gateway.admin.enabled $values.networkPolicy.adminFrom }}
- {from: [operators], to: [gateway], ports: [{{ $values.gateway.admin.port }}]}
{{- end }}
{{- if eq $values.ingress.class "gce" }}
- {from: [balancers], to: [gateway], ports: [{{ $values.gateway.port }}, {{ include "facet.httpHealthPort" . }}]}
{{- else if eq $values.ingress.class "nginx" }}
- {from: [ingress-controller], to: [gateway], ports: [{{ $values.gateway.port }}]}
{{- end }}
{{- if $values.test.apiKeySecret }}
- {from: [test], to: [gateway], ports: [{{ $values.gateway.port }}]}
- {from: [test], to: [dns], ports: [53]}
{{- end }}
- {from: {{ toJson $users }}, to: [dns], ports: [53]}
{{- if $values.redis.embedded.enabled }}
- {from: {{ toJson $users }}, to: [redis], ports: [6379]}
{{- else }}
- {from: {{ toJson $users }}, to: [external-redis], ports: {{ toJson $values.redis.external.ports }}}
{{- end }}
{{- if $values.otel.collector.enabled }}
- {from: {{ toJson $users }}, to: [collector], ports: [4317]}
- {from: [collector], to: [dns], ports: [53]}
{{- range $index, $goal := $values.otel.collector.to }}
- {from: [collector], to: [collector-goal-{{ $index }}], ports: [{{ .port }}]}
{{- end }}
{{- else if $values.otel.endpoint }}
- {from: {{ toJson $users }}, to: [telemetry], ports: [{{ include "facet.urlPort" $values.otel.endpoint }}]}
{{- end }}
{{- if eq $values.redis.external.credentials "gcp-iam" }}
- {from: {{ toJson $users }}, to: [metadata], ports: [80]}
- {from: {{ toJson $users }}, to: [metadata-agent], ports: [988]}
{{- end }}
{{- if and $values.gateway.oidc.jwks $values.networkPolicy.tokenKeysTo }}
- {from: [gateway], to: [token-keys], ports: [{{ include "facet.urlPort" $values.gateway.oidc.jwks }}]}
{{- end }}
{{- if ne (include "facet.scrapers" .) "[]" }}
- {from: [scrapers], to: {{ toJson $users }}, ports: [{{ include "facet.metricsPort" . }}]}
{{- end }}
{{- if eq $scaler "keda" }}
- {from: [keda], to: [autoscaler], ports: [8472]}
{{- end }}
{{- if $scaled }}
- {from: [worker], to: [autoscaler], ports: [4317]}
- {from: [autoscaler], to: [gateway], ports: [{{ include "facet.metricsPort" . }}]}
# By its Service the API server's port is 443, behind it often 6443.
- {from: [autoscaler], to: [api-server], ports: [443, 6443]}
{{- end }}
{{- range $values.pools }}
{{- $pool := include "facet.pool" (dict "root" $ "pool" .) | fromYaml }}
{{- if and (include "facet.fetches" $pool) $values.networkPolicy.weightsTo }}
- {from: [worker-{{ .name }}], to: [weights], ports: [443]}
{{- end }}
{{- if include "facet.readsBucket" $pool }}
- {from: [worker-{{ .name }}], to: [metadata], ports: [80]}
- {from: [worker-{{ .name }}], to: [metadata-agent], ports: [988]}
{{- end }}
{{- end }}
{{- end -}}

{{/* The ends of arrows, as YAML by name. Pods of the release have `component` and perhaps `pool`;
others have `peers`, NetworkPolicyPeers, of which none means everybody. */}}
{{- define "facet.parties" -}}
{{- range list "gateway" "worker" "redis" "autoscaler" "test" "collector" }}
{{ . }}: {component: {{ . }}}
{{- end }}
{{- range .Values.pools }}
worker-{{ .name }}: {component: worker, pool: {{ .name }}}
{{- end }}
{{- with .Values.networkPolicy }}
clients: {peers: {{ toJson .gatewayFrom }}}
operators: {peers: {{ toJson .adminFrom }}}
dns: {peers: {{ toJson .dns }}}
external-redis: {{ include "facet.blocks" .redisCidrs }}
token-keys: {peers: {{ toJson .tokenKeysTo }}}
weights: {peers: {{ toJson .weightsTo }}}
{{- end }}
telemetry: {peers: {{ toJson .Values.otel.to }}}
{{- range $index, $goal := .Values.otel.collector.to }}
collector-goal-{{ $index }}: {peers: {{ toJson (list .peer) }}}
{{- end }}
scrapers: {peers: {{ include "facet.scrapers" . }}}
# Google's proxies and health checks.
balancers: {{ include "facet.blocks" (list "35.191.0.0/16" "130.211.0.0/22") }}
ingress-controller: {peers: {{ toJson .Values.ingress.controllerFrom }}}
keda: {peers: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.autoscaler.kedaNamespace }}}}}]}
api-server: {{ include "facet.blocks" .Values.autoscaler.apiServerCidrs }}
# GKE's metadata server gives the tokens of Workload Identity.
metadata: {{ include "facet.blocks" (list "169.254.169.254/32") }}
metadata-agent: {{ include "facet.blocks" (list "169.254.169.252/32") }}
{{- end -}}

{{- define "facet.blocks" -}}
{{- $peers := list -}}
{{- range . -}}{{- $peers = append $peers (dict "ipBlock" (dict "cidr" .)) -}}{{- end -}}
{{- dict "peers" $peers | toJson -}}
{{- end -}}

{{/* Port of a URL: its own, else its scheme's. */}}
{{- define "facet.urlPort" -}}
{{- $url := urlParse . -}}
{{- default (eq $url.scheme "http" | ternary "80" "443") (regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host)) -}}
{{- end -}}

{{/* One rule of a policy; arguments: root, arrow, end (the party at the other end), side (from, to). */}}
{{- define "facet.rule" -}}
- ports:
  {{- if not .arrow.ports }} []{{ end }}
  {{- range .arrow.ports }}
  {{- $range := kindIs "map" . | ternary . (dict "port" .) }}
  {{- if eq (int $range.port) 53 }}
    - {protocol: UDP, port: 53}
  {{- end }}
    - {protocol: TCP, port: {{ $range.port }}{{ with $range.endPort }}, endPort: {{ . }}{{ end }}}
  {{- end }}
  {{- if .end.component }}
  {{ .side }}:
    - podSelector:
        matchLabels:
          {{- include "facet.partySelector" (dict "root" .root "party" .end) | nindent 10 }}
  {{- else if .end.peers }}
  {{ .side }}:
    {{- toYaml .end.peers | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "facet.partySelector" -}}
{{- if .party.pool -}}
{{- include "facet.poolSelector" (dict "root" .root "pool" .party.pool) -}}
{{- else -}}
{{- include "facet.selector" (dict "root" .root "component" .party.component) -}}
{{- end -}}
{{- end -}}
