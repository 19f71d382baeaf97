#!/bin/sh
# generate.sh TVG FOLDER: a man page for tvg and one for each of its commands, from what they print themselves.
set -eu
tvg=$1
folder=$2
version=$("$tvg" --version | cut -d' ' -f2)
command -v help2man >/dev/null || { echo "tvg: make man needs help2man: apt-get install help2man" >&2; exit 1; }
also=$(mktemp)
trap 'rm -f "$also"' EXIT
# page NAME SUMMARY COMMAND...
page() {
    name=$1 summary=$2
    shift 2
    { printf '[see also]\n'; [ "$name" = tvg ] || printf '.BR tvg (1), '; "$tvg" help | sed -n 's/^  \([a-z]*\)  .*/\1/p' | while read -r other; do
        [ "tvg-$other" = "$name" ] || printf '.BR tvg-%s (1), ' "$other"; done; printf '\n'; } |
        sed -e 's/, \.BR/,\n.BR/g' -e 's/, $//' > "$also"
    help2man --no-info --section=1 --manual="tvg manual" --source="tvg $version" --version-string="$version" --name="$summary" --include="$also" "$*" |
        sed -e '/^\.\\" DO NOT MODIFY/d' -e "s/^\.TH [^ ]* \(\"1\"\) \"[^\"]*\"/.TH $(echo "$name" | tr a-z A-Z) \1 \"\"/" -e "s/^tvg ${name#tvg-} /$name /" \
            -e "/^\.B tvg\$/{N;s/^\.B tvg\n\(.*\)${name#tvg-} /.B tvg ${name#tvg-}\n\1/}" > "$folder/$name.1"
}
page tvg "joules of an inference run, operation by operation, and what each optimization would save" "$tvg"
"$tvg" help | sed -n 's/^  \([a-z]*\)  *\(.*\)/\1|\2/p' | grep -v '^tvg\|^LD' | while IFS='|' read -r command summary; do
    page "tvg-$command" "$summary" "$tvg" "$command"
done
