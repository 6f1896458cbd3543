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

{{/* What the autoscaler takes a pool's pods for until it measured them, as YAML; argument: the pool. */}}
{{- define "facet.poolEstimates" -}}
{{- $estimates := .profileData.estimates -}}
{{- $limits := (include "facet.workerResources" . | fromYaml).limits -}}
gpus: {{ dig "nvidia.com/gpu" 0 $limits | int }}
{{/* The plan may give fewer than a pool permits. */}}
max_sequences: {{ min $estimates.max_sequences (default $estimates.max_sequences .maxSequences) }}
startup_seconds: {{ default $estimates.startup_seconds .expectedStartSeconds | int }}
{{ omit $estimates "max_sequences" "startup_seconds" | toYaml }}
{{- end -}}

{{/* Whether a location of weights lies elsewhere: "true" or nothing; argument: the location. */}}
{{- define "facet.isRemote" -}}
{{- if not (regexMatch "^(package:|[/.~])" .) -}}true{{- end -}}
{{- end -}}

{{/* Whether a pool downloads weights: "true" or nothing. The simulated engine reads none. */}}
{{- define "facet.downloads" -}}
{{- $target := default .profileData.target .weights.source -}}
{{- $drafter := default .profileData.drafter .weights.drafterSource -}}
{{- $isRemote := or (include "facet.isRemote" $target) (include "facet.isRemote" $drafter) -}}
{{- if and $isRemote (not .weights.volume) (eq .engine "vllm") -}}true{{- end -}}
{{- end -}}

{{/* Volume that a pool's downloads are kept on, as YAML. Of streamed weights these are the drafter's
and small files. */}}
{{- define "facet.cacheVolume" -}}
{{- $isStreamed := and (eq .loadFormat "runai_streamer") (hasPrefix "gs://" .weights.source) -}}
{{- $size := $isStreamed | ternary "4Gi" .profileData.disk -}}
{{- toYaml (default (dict "emptyDir" (dict "sizeLimit" $size)) .weights.cacheVolume) -}}
{{- end -}}

{{/* A quantity of bytes in MiB, rounded up. */}}
{{- define "facet.mebibytes" -}}
{{- $unit := regexFind "[KMGTi]+$" . -}}
{{- $mebibytes := dict "" 9.5367431640625e-07 "K" 9.5367431640625e-04 "M" 0.95367431640625 "G" 953.67431640625 "T" 953674.31640625 "Ki" 0.0009765625 "Mi" 1.0 "Gi" 1024.0 "Ti" 1048576.0 -}}
{{- mulf (trimSuffix $unit . | float64) (index $mebibytes $unit) | ceil | int64 -}}
{{- end -}}

{{/* Resources of a pool's container, as YAML: its own, else its profile's. The disk of the node that
its volumes, temporary files and logs take is asked for, or the node is filled with pods that it evicts. */}}
{{- define "facet.workerResources" -}}
{{- $disk := add 2048 (include "facet.mebibytes" .cacheSize) -}}
{{- if include "facet.downloads" . -}}
{{- $volume := include "facet.cacheVolume" . | fromYaml -}}
{{- if hasKey $volume "emptyDir" -}}
{{- $disk = add $disk (include "facet.mebibytes" (default .profileData.disk (dig "sizeLimit" "" (default dict $volume.emptyDir)))) -}}
{{- end -}}
{{- end -}}
{{- $storage := dict "ephemeral-storage" (printf "%dMi" $disk) -}}
{{- $resources := mergeOverwrite (deepCopy .profileData.resources) (dict "requests" (deepCopy $storage) "limits" $storage) -}}
{{- toYaml (mergeOverwrite $resources (deepCopy (default dict .resources))) -}}
{{- end -}}

{{/* Where a pool's pods may run: what profile, accelerator and spot ask for, then what is given. */}}
{{- define "facet.poolPlacement" -}}
{{- $label := "cloud.google.com/gke-accelerator" -}}
{{- $selector := deepCopy (first .profileData.nodeSelectors) -}}
{{- $tolerations := .profileData.tolerations -}}
{{- $isGke := ne .accelerator "none" -}}
{{- if not $isGke -}}
{{- $_ := unset $selector $label -}}
{{- else if .accelerator -}}
{{- $_ := set $selector $label .accelerator -}}
{{- end -}}
{{- if and .spot $isGke -}}
{{- $_ := set $selector "cloud.google.com/gke-spot" "true" -}}
{{- $tolerations = append $tolerations (dict "key" "cloud.google.com/gke-spot" "operator" "Equal" "value" "true" "effect" "NoSchedule") -}}
{{- end -}}
{{- include "facet.placement" (dict
      "nodeSelector" (merge (deepCopy .nodeSelector) $selector)
      "tolerations" (concat $tolerations .tolerations)
      "affinity" .affinity
      "topologySpreadConstraints" .topologySpreadConstraints) -}}
{{- end -}}

{{/* Environment that says where a pool's weights are and how they are read; arguments: the pool. */}}
{{- define "facet.weightsEnv" -}}
{{- if eq .engine "vllm" -}}
{{- if .weights.volume }}
- name: FACET_WORKER_WEIGHTS
  value: {{ printf "/weights/%s" .weights.path | trimSuffix "/" | quote }}
{{- with .weights.drafterPath }}
- name: FACET_WORKER_DRAFTER_WEIGHTS
  value: {{ printf "/weights/%s" . | quote }}
{{- end }}
- name: FACET_WORKER_OFFLINE
  value: "true"
{{- else }}
{{- with .weights.source }}
- name: FACET_WORKER_WEIGHTS
  value: {{ . | quote }}
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
{{- end }}
{{- end -}}

{{/* Whether a pool's pods fetch weights over the network themselves: "true" or nothing. */}}
{{- define "facet.fetches" -}}
{{- if or (include "facet.downloads" .) (eq (dig "csi" "driver" "" .weights.volume) "gcsfuse.csi.storage.gke.io") -}}true{{- end -}}
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
{{- if or $mounts (and $named (include "facet.downloads" .)) -}}true{{- end -}}
{{- end -}}

{{/* Who writes the number of workers, and what min and max do, in words. */}}
{{- define "facet.whoScales" -}}
{{- $mode := .Values.autoscaler.mode -}}
{{- if eq $mode "none" -}}
Nothing scales them. Their number is `replicas` of the pool, which every upgrade writes again; where that is
null it is left to you (kubectl scale deployment NAME --replicas=N) or to a scaler of your own.
{{- else if eq $mode "hpa" -}}
A HorizontalPodAutoscaler for each pool writes their number, between min and max, to hold CPU use at
{{ .Values.autoscaler.targetCpuPercent }} % of what is requested; the cluster needs the metrics API (metrics-server; GKE has it).
{{- else if eq $mode "keda" -}}
KEDA writes their number, between min and max of the pool's ScaledObject, as Facet's autoscaler tells it.
Why it is what it is: facet admin autoscaler explain. While a signal is missing their number is held.
{{- else -}}
Facet's autoscaler alone writes their number, between min and max.
Why it is what it is: facet admin autoscaler explain. While a signal is missing their number is held.
{{- end -}}
{{- end -}}
