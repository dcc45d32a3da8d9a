{{- define "ledger.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "ledger.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ledger.labels" -}}
{{ include "ledger.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "ledger.secret" -}}
{{ .Values.secrets.existing | default (include "ledger.name" .) }}
{{- end }}

{{/* Whether the values name someone who may ask: a token, an issuer or a certificate. Comments name nobody. */}}
{{- define "ledger.named" -}}
{{- $given := printf "%s\n%s" (tpl .Values.config .) .Values.secrets.tokens }}
{{- if regexMatch "(?m)^\\s*\\[\\[\\s*access\\s*\\.\\s*(token|issuer|certificate)\\s*\\]\\]" $given }}yes{{ end }}
{{- end }}

{{/* What cannot work is refused before anything is installed. */}}
{{- define "ledger.check" -}}
{{- if not .Values.kafka.brokers }}{{ fail "kafka.brokers: which Kafka? host:port of some brokers" }}{{ end }}
{{- $named := include "ledger.named" . }}
{{- with .Values.secrets }}
{{- if and (not .existing) (not $named) (not $.Values.open) }}
{{- fail "who may ask? set secrets.tokens (`realm-ledger token create NAME` prints them), secrets.existing, an [[access.issuer]] or [[access.certificate]] in config, or open: true" }}
{{- end }}
{{- if and $named $.Values.open }}
{{- fail "open: true lets everyone ask, so nobody is to be named in config or secrets.tokens" }}
{{- end }}
{{- if and (gt (int $.Values.replicas) 1) (not .existing) (not (and .ledgerSecret .signingKeys)) }}
{{- fail "more than one replica needs secrets.ledgerSecret and secrets.signingKeys (or secrets.existing with both): a partition that moves has to stay the same log" }}
{{- end }}
{{- end }}
{{- end }}
