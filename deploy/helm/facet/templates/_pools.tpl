{{/* A pool as it is in force, as YAML: what the pool says itself, else what `worker` says (`weights`
key by key), and
`profileData`, the profile's entry of files/profiles.yaml; arguments: root, pool. */}}
{{- define "facet.pool" -}}
{{- $pool := deepCopy .root.Values.worker -}}
{{- range $key, $value := .pool -}}
{{- if eq $key "weights" -}}
{{- range $part, $given := $value -}}{{- $_ := set $pool.weights $part $given -}}{{- end -}}
{{- else -}}
{{- $_ := set $pool $key $value -}}
{{- end -}}
{{- end -}}
{{- $profiles := .root.Files.Get "files/profiles.yaml" | fromYaml -}}
{{- $_ := set $pool "profileData" (index $profiles .pool.profile) -}}
{{- toYaml $pool -}}
{{- end -}}

{{- define "facet.poolSelector" -}}
{{ include "facet.selector" (dict "root" .root "component" "worker") }}
facet/pool: {{ .pool }}
{{- end -}}

{{/* Seconds that a pool's start may take: its own, else its profile's. */}}
{{- define "facet.startSeconds" -}}
{{- default .profileData.startSeconds .startSeconds | int -}}
{{- end -}}

{{/* Whether a pool downloads weights: "true" or nothing. */}}
{{- define "facet.downloads" -}}
{{- if and .profileData.downloadBytes (not .weights.volume) (eq .engine "vllm") (not .loadFormat) -}}true{{- end -}}
{{- end -}}

{{/* Where a pool's pods may run: what profile, accelerator and spot ask for, then what is given. */}}
{{- define "facet.poolPlacement" -}}
{{- $label := "cloud.google.com/gke-accelerator" -}}
{{- $selector := deepCopy (first .profileData.nodeSelectors) -}}
{{- $tolerations := .profileData.tolerations -}}
{{- if .accelerator -}}{{- $_ := set $selector $label .accelerator -}}{{- end -}}
{{- if .spot -}}
{{- $_ := set $selector "cloud.google.com/gke-spot" "true" -}}
{{- $tolerations = append $tolerations (dict "key" "cloud.google.com/gke-spot" "operator" "Equal" "value" "true" "effect" "NoSchedule") -}}
{{- end -}}
{{- include "facet.placement" (dict
      "nodeSelector" (merge (deepCopy .nodeSelector) $selector)
      "tolerations" (concat $tolerations .tolerations)
      "affinity" .affinity
      "topologySpreadConstraints" .topologySpreadConstraints) -}}
{{- end -}}

{{/* Environment that says where a pool's weights are; arguments: the pool. */}}
{{- define "facet.weightsEnv" -}}
{{- if .weights.volume -}}
- name: FACET_WORKER_WEIGHTS
  value: {{ printf "/weights/%s" .weights.path | trimSuffix "/" | quote }}
{{- with .weights.drafterPath }}
- name: FACET_WORKER_DRAFTER_WEIGHTS
  value: {{ printf "/weights/%s" . | quote }}
{{- end }}
- name: FACET_WORKER_OFFLINE
  value: "true"
{{- else -}}
{{- if .weights.source -}}
- name: FACET_WORKER_WEIGHTS
  value: {{ .weights.source | quote }}
{{- end }}
{{- with .weights.drafterSource }}
- name: FACET_WORKER_DRAFTER_WEIGHTS
  value: {{ . | quote }}
{{- end }}
{{- if include "facet.downloads" . }}
- name: FACET_WORKER_WEIGHTS_CACHE
  value: /var/cache/facet-weights
{{- with .weights.tokenSecret }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: {{ $.weights.tokenSecretKey }}}
{{- end }}
{{- end }}
{{- end }}
{{- with .loadFormat }}
- name: FACET_WORKER_LOAD_FORMAT
  value: {{ . }}
{{- end }}
{{- end -}}

{{/* Whether a pool's pods fetch weights over the network themselves: "true" or nothing. */}}
{{- define "facet.fetches" -}}
{{- $streams := and .loadFormat (not .weights.volume) (eq .engine "vllm") -}}
{{- if or (include "facet.downloads" .) $streams (eq (dig "csi" "driver" "" .weights.volume) "gcsfuse.csi.storage.gke.io") -}}true{{- end -}}
{{- end -}}

{{/* Environment that overrules a pool's plan; arguments: the pool. */}}
{{- define "facet.planEnv" -}}
{{- with .contextTokens }}
- name: FACET_WORKER_CONTEXT_TOKENS
  value: {{ . | int64 | quote }}
{{- end }}
{{- range $field, $value := dict "MAX_SEQUENCES" .maxSequences "MAX_BATCHED_TOKENS" .maxBatchedTokens "SPECULATIVE_TOKENS" .speculativeTokens }}
{{- if not (kindIs "invalid" $value) }}
- name: FACET_WORKER_{{ $field }}
  value: {{ $value | int64 | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether a pool's pods read a bucket, with tokens of Workload Identity: "true" or nothing. */}}
{{- define "facet.readsBucket" -}}
{{- $mounts := eq (dig "csi" "driver" "" .weights.volume) "gcsfuse.csi.storage.gke.io" -}}
{{- $named := or (hasPrefix "gs://" .weights.source) (hasPrefix "gs://" .weights.drafterSource) -}}
{{- if or $mounts (and $named (include "facet.fetches" .)) -}}true{{- end -}}
{{- end -}}
