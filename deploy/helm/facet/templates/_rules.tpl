{{/* A histogram's bound as series have it: 2.0 in what services tell, 2 as some stores keep it. */}}
{{- define "facet.bucketBound" -}}
{{- $bound := toString . -}}
{{- ternary $bound (printf "%s|%s.0" $bound $bound) (contains "." $bound) -}}
{{- end -}}

{{/* Seconds by class in words; argument: a map of them. */}}
{{- define "facet.secondsByClass" -}}
interactive {{ .interactive }} s, standard {{ .standard }} s, batch {{ .batch }} s
{{- end -}}

{{/* What @NAME@ stands for in files/rules, as JSON. */}}
{{- define "facet.ruleValues" -}}
{{- $rules := .Values.monitoring.rules -}}
{{- $slo := $rules.slo -}}
{{- $most := .Values.gateway.maxWaiting -}}
{{- dict
      "TTFT_INTERACTIVE" (include "facet.bucketBound" $slo.ttftSeconds.interactive)
      "TTFT_STANDARD" (include "facet.bucketBound" $slo.ttftSeconds.standard)
      "TTFT_BATCH" (include "facet.bucketBound" $slo.ttftSeconds.batch)
      "TTFT_TEXT" (include "facet.secondsByClass" $slo.ttftSeconds)
      "TTFT_RATIO" (toString $slo.ttftRatio)
      "SUCCESS_RATIO" (toString $slo.successRatio)
      "FAILED" "DEADLINE_EXCEEDED|DEAD_LETTERED|ENGINE_FAILED|ENGINE_STALLED|INTERNAL|LOG_LOST|LOG_REGRESSED|QUEUE_FULL|STORE_FULL|STORE_UNAVAILABLE|UNRESUMABLE"
      "AGE_INTERACTIVE" (toString $slo.queueAgeSeconds.interactive)
      "AGE_STANDARD" (toString $slo.queueAgeSeconds.standard)
      "AGE_BATCH" (toString $slo.queueAgeSeconds.batch)
      "AGE_TEXT" (include "facet.secondsByClass" $slo.queueAgeSeconds)
      "MAX_REQUESTS" ($most.requests | int64 | toString)
      "MAX_TOKENS" ($most.tokens | int64 | toString)
      "MAX_BYTES" ($most.bytes | int64 | toString)
      "NO_WORKERS_FOR" (printf "%ds" (int $rules.coldStartSeconds))
      "MAX_COST" (toString .Values.autoscaler.policy.maxCostPerHour)
    | toJson -}}
{{- end -}}

{{/* The rules of files/rules as YAML with one key, groups. Each alert links its runbook. */}}
{{- define "facet.rules" -}}
{{- $values := include "facet.ruleValues" . | fromJson -}}
{{- $groups := list -}}
{{- range $path, $_ := .Files.Glob "files/rules/*.yaml" -}}
{{- $text := $.Files.Get $path -}}
{{- range $name, $value := $values -}}
{{- $text = replace (printf "@%s@" $name) $value $text -}}
{{- end -}}
{{- $windows := list "" -}}
{{- if contains "@WINDOW@" $text -}}{{- $windows = list "5m" "30m" "1h" "6h" "3d" -}}{{- end -}}
{{- range $window := $windows -}}
{{- $groups = concat $groups (replace "@WINDOW@" $window $text | fromYaml).groups -}}
{{- end -}}
{{- end -}}
{{- range $group := $groups -}}
{{- range $rule := $group.rules -}}
{{- if $rule.alert -}}
{{- $link := printf "%s/%s.md" ($.Values.monitoring.rules.runbooks | trimSuffix "/") $rule.alert -}}
{{- $_ := set $rule.annotations "runbook_url" $link -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "groups" $groups) -}}
{{- end -}}
