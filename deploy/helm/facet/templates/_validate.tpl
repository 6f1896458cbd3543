{{/* Renders nothing: refuses combinations that the schema cannot express. */}}
{{- define "facet.validate" -}}
{{- $auth := .Values.auth -}}
{{- if and (not $auth.existingSecret) (not $auth.keys) -}}
{{- fail "auth: the gateway listens on the network and needs API keys: set auth.existingSecret or auth.keys" -}}
{{- end -}}
{{- if and $auth.existingSecret $auth.keys -}}
{{- fail "auth: set auth.existingSecret or auth.keys, not both" -}}
{{- end -}}
{{- $redis := .Values.redis -}}
{{- if $redis.embedded.enabled -}}
{{- if and (not $redis.auth.existingSecret) (not $redis.auth.password) -}}
{{- fail "redis: the embedded Redis needs a password: set redis.auth.existingSecret or redis.auth.password" -}}
{{- end -}}
{{- if and $redis.auth.existingSecret $redis.auth.password -}}
{{- fail "redis: set redis.auth.existingSecret or redis.auth.password, not both" -}}
{{- end -}}
{{- if $redis.external.existingSecret -}}
{{- fail "redis: redis.external is set, so redis.embedded.enabled must be false" -}}
{{- end -}}
{{- else -}}
{{- if not $redis.external.existingSecret -}}
{{- fail "redis: without the embedded Redis set redis.external.existingSecret" -}}
{{- end -}}
{{- if or $redis.auth.existingSecret $redis.auth.password -}}
{{- fail "redis: redis.auth belongs to the embedded Redis: leave it empty; an external one has its password in its URL, or set redis.external.credentials" -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.redisCidrs) -}}
{{- fail "networkPolicy: name the external Redis in networkPolicy.redisCidrs, or set networkPolicy.enabled to false" -}}
{{- end -}}
{{- end -}}
{{- if gt (int .Values.gateway.defaultDeadlineSeconds) (int .Values.gateway.maxDeadlineSeconds) -}}
{{- fail "gateway: defaultDeadlineSeconds is longer than maxDeadlineSeconds: lower it, or raise that" -}}
{{- end -}}
{{- range $key, $port := dict "port" .Values.gateway.port "admin.port" .Values.gateway.admin.port -}}
{{- if eq (int $port) 8474 -}}
{{- fail (printf "gateway: on port 8474 the probes ask for health: give gateway.%s another number" $key) -}}
{{- end -}}
{{- if eq (int $port) (include "facet.metricsPort" $ | int) -}}
{{- fail (printf "gateway: port %d serves metrics: give gateway.%s another number" (int $port) $key) -}}
{{- end -}}
{{- end -}}
{{- if .Values.gateway.admin.enabled -}}
{{- if eq (int .Values.gateway.admin.port) (int .Values.gateway.port) -}}
{{- fail "gateway: admin.port is the clients' port: give it another number" -}}
{{- end -}}
{{- $operators := 0 -}}
{{- range $auth.keys -}}{{- if .admin -}}{{- $operators = add1 $operators -}}{{- end -}}{{- end -}}
{{- if and $auth.keys (not $operators) -}}
{{- fail "gateway: admin.enabled needs an operator's key: give one of auth.keys admin: true" -}}
{{- end -}}
{{- end -}}

{{- $mode := .Values.autoscaler.mode -}}
{{- $names := list -}}
{{- $cap := .Values.autoscaler.policy.maxCostPerHour | float64 -}}
{{- $least := 0.0 -}}
{{- range .Values.pools -}}
{{- $pool := include "facet.pool" (dict "root" $ "pool" .) | fromYaml -}}
{{- if has .name $names -}}
{{- fail (printf "pools: two are named %s: give each a name of its own" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- if and (ne $pool.profileData.model $.Values.model) (eq $pool.engine "vllm") -}}
{{- fail (printf "pools: %s has profile %s, which serves %s: set model to it, or take another profile" .name .profile $pool.profileData.model) -}}
{{- end -}}
{{- if eq (int $pool.healthPort) (include "facet.metricsPort" $ | int) -}}
{{- fail (printf "pools: port %d of %s serves metrics: give its healthPort another number" (int $pool.healthPort) .name) -}}
{{- end -}}
{{- if gt (int $pool.expectedStartSeconds) (include "facet.startSeconds" $pool | int) -}}
{{- fail (printf "pools: %s is expected to start within %d s and ended after %d: lower expectedStartSeconds, or raise startSeconds" .name (int $pool.expectedStartSeconds) (include "facet.startSeconds" $pool | int)) -}}
{{- end -}}
{{- if and $pool.spot (gt (int $pool.drainSeconds) 8) -}}
{{- fail (printf "pools: %s is on spot machines, which go within seconds: set its drainSeconds to 8 or less" .name) -}}
{{- end -}}
{{- if and $pool.weights.volume (or $pool.weights.source $pool.weights.drafterSource $pool.weights.cacheVolume) -}}
{{- fail (printf "pools: %s has its weights in weights.volume: leave weights.source, drafterSource and cacheVolume empty" .name) -}}
{{- end -}}
{{- $isWanting := and (include "facet.isRemote" $pool.profileData.drafter) (not $pool.weights.drafterPath) -}}
{{- if and $pool.weights.volume $isWanting (eq $pool.engine "vllm") -}}
{{- fail (printf "pools: %s has its weights in weights.volume, and asks no network for the drafter's: set weights.drafterPath" .name) -}}
{{- end -}}
{{- if and (eq $pool.loadFormat "runai_streamer") (eq $pool.profileData.device "cpu") -}}
{{- fail (printf "pools: the image for CPUs, which %s runs, has no runai-model-streamer: leave loadFormat empty" .name) -}}
{{- end -}}
{{- if eq $mode "none" -}}
{{- if or (hasKey . "min") (hasKey . "max") -}}
{{- fail (printf "pools: %s has min or max, but nothing scales it: set replicas instead, or autoscaler.mode" .name) -}}
{{- end -}}
{{- else -}}
{{- if hasKey . "replicas" -}}
{{- fail (printf "pools: %s has replicas, but autoscaler.mode %s writes their number: set min and max instead" .name $mode) -}}
{{- end -}}
{{- if not (and (hasKey . "min") (hasKey . "max")) -}}
{{- fail (printf "pools: %s needs min and max with autoscaler.mode %s" .name $mode) -}}
{{- end -}}
{{- if gt (int .min) (int .max) -}}
{{- fail (printf "pools: min of %s is above its max: lower it, or raise max" .name) -}}
{{- end -}}
{{- $least = addf $least (mulf .min $pool.pricePerHour) -}}
{{- if and (eq $mode "hpa") (lt (int .min) 1) -}}
{{- fail (printf "pools: autoscaler.mode hpa cannot scale %s to zero: set its min to 1 or more" .name) -}}
{{- end -}}
{{- if eq $mode "hpa" -}}
{{- if eq $pool.profileData.device "gpu" -}}
{{- fail (printf "pools: %s computes on GPUs, of whose load the CPU that autoscaler.mode hpa looks at says nothing: set autoscaler.mode to keda, standalone or none" .name) -}}
{{- end -}}
{{- $resources := include "facet.workerResources" $pool | fromYaml -}}
{{- if has (toString $resources.requests.cpu) (list "" "0") -}}
{{- fail (printf "pools: autoscaler.mode hpa counts CPU in percent of what %s requests: set its resources.requests.cpu" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (has $mode (list "keda" "standalone")) (gt $cap 0.0) (gt $least $cap) -}}
{{- fail (printf "autoscaler: the pools' min cost %g an hour, above policy.maxCostPerHour: lower them, or raise that" $least) -}}
{{- end -}}

{{- with .Values.gateway -}}
{{- if and .oidc.issuer (or (not .oidc.audience) (not .oidc.jwks)) -}}
{{- fail "gateway: oidc.issuer needs oidc.audience and oidc.jwks: set both" -}}
{{- end -}}
{{- if gt (int .autoscaling.min) (int .autoscaling.max) -}}
{{- fail "gateway: autoscaling.min is above autoscaling.max: lower it, or raise that" -}}
{{- end -}}
{{- if and .autoscaling.enabled (not (or (dig "requests" "cpu" "" .resources) (dig "limits" "cpu" "" .resources))) -}}
{{- fail "gateway: autoscaling counts CPU in percent of what is requested: set gateway.resources.requests.cpu" -}}
{{- end -}}
{{- end -}}

{{- if and $auth.tenants $auth.existingTenantsConfigMap -}}
{{- fail "auth: set auth.tenants or auth.existingTenantsConfigMap, not both" -}}
{{- end -}}
{{- include "facet.validateNet" . -}}
{{- include "facet.validateImages" . -}}
{{- end -}}

{{/* Refuses images that lie nowhere: Facet's are published by whoever installs it. */}}
{{- define "facet.validateImages" -}}
{{- $global := .Values.global -}}
{{- if not (or $global.imageRegistry $global.localImages) -}}
{{- $images := dict "gateway.image" .Values.gateway.image -}}
{{- if has .Values.autoscaler.mode (list "keda" "standalone") -}}
{{- $_ := set $images "autoscaler.image" .Values.autoscaler.image -}}
{{- end -}}
{{- range .Values.pools -}}
{{- $pool := include "facet.pool" (dict "root" $ "pool" .) | fromYaml -}}
{{- $device := $pool.profileData.device -}}
{{- $_ := set $images (printf "worker.image.%s" $device) (index $pool.image $device) -}}
{{- end -}}
{{- range $name, $image := $images -}}
{{- if not $image.registry -}}
{{- fail (printf "%s: no registry holds it: push the images with `make images REGISTRY=REGION-docker.pkg.dev/PROJECT/facet` and install with `--set global.imageRegistry=REGION-docker.pkg.dev/PROJECT/facet`; where the nodes hold them already (kind load, minikube image load), with `--set global.localImages=true`" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
