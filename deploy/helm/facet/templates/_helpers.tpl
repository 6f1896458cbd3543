{{- define "facet.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "facet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "facet.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "facet.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes for a component; arguments: root, component. */}}
{{- define "facet.selector" -}}
app.kubernetes.io/name: {{ include "facet.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of an object; arguments: root, component, labels (more of them). Given labels never
replace those that selectors rely on. */}}
{{- define "facet.labels" -}}
{{- $own := include "facet.selector" . | fromYaml -}}
{{- $own = merge $own (dict
      "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version)
      "app.kubernetes.io/version" .root.Chart.AppVersion
      "app.kubernetes.io/managed-by" .root.Release.Service) -}}
{{- toYaml (merge $own (default dict .labels) .root.Values.labels) -}}
{{- end -}}

{{/* Name, labels and annotations of an object; arguments: root, component, name, labels, annotations. */}}
{{- define "facet.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "facet.labels" . | nindent 2 }}
{{- with merge (deepCopy (default dict .annotations)) .root.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Image reference; arguments: root, image. */}}
{{- define "facet.image" -}}
{{- $registry := default .root.Values.global.imageRegistry .image.registry | trimSuffix "/" -}}
{{- $repository := .image.repository -}}
{{- if $registry -}}{{- $repository = printf "%s/%s" $registry $repository -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "facet.authSecret" -}}
{{- default (printf "%s-api-keys" (include "facet.fullname" .)) .Values.auth.existingSecret -}}
{{- end -}}

{{/* Labels of a pod: without the chart's version, so that an upgrade restarts only what changed;
arguments: root, component, labels. */}}
{{- define "facet.podLabels" -}}
{{- $own := include "facet.selector" . | fromYaml -}}
{{- toYaml (merge $own (default dict .labels) .root.Values.labels) -}}
{{- end -}}

{{/* Annotations of a pod; it restarts when a Secret that the chart makes for it has changed;
arguments: root, secrets (values that the Secrets hold), annotations. */}}
{{- define "facet.podAnnotations" -}}
checksum/secrets: {{ .secrets | toJson | sha256sum }}
{{- with merge (deepCopy .annotations) .root.Values.annotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "facet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Pod security; arguments: the user id. */}}
{{- define "facet.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* What all pods have in common; arguments: root, class (a given PriorityClass), tier (that of the
chart's: serving or worker). */}}
{{- define "facet.podBasics" -}}
# Service variables could be read as settings: FACET_GATEWAY_PORT=tcp://...
enableServiceLinks: false
{{- with concat .root.Values.imagePullSecrets (default list .root.Values.global.imagePullSecrets) }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $class := .class -}}
{{- if and (not $class) .root.Values.priorityClasses.create -}}
{{- $class = include "facet.priorityClass" . -}}
{{- end -}}
{{- with $class }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Name of one of the chart's PriorityClasses, which no other release has; arguments: root, tier. */}}
{{- define "facet.priorityClass" -}}
{{- printf "%s-%s-%s" .root.Release.Namespace (include "facet.fullname" .root) .tier -}}
{{- end -}}

{{/* Where a pod may run; arguments: the component's values. */}}
{{- define "facet.placement" -}}
{{- $placement := dict -}}
{{- $component := . -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" -}}
{{- with index $component $key -}}
{{- $_ := set $placement $key . -}}
{{- end -}}
{{- end -}}
{{- with $placement }}{{ toYaml . }}{{ end -}}
{{- end -}}
