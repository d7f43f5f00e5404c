#!/bin/sh
# Audits a store (or references) each night, and tells what is new since the night before.
#
#   sh nightly_audit.sh STORE POLICY.toml FOLDER
#
# FOLDER keeps the last audit (audit.json), a page, JUnit XML and a summary. Exits as the audit does:
# 0 complete, 1 findings that the policy does not allow, 2 it could not be made, and the last is kept.
# What was found is printed then, but in a job of GitHub's, whose summary has it: cron mails what is.
set -eu
store=$1 policy=$2 folder=$3
mkdir -p "$folder"
last=$folder/audit.json
set -- --policy "$policy" --by month --json --no-progress --report "$folder/audit.html" \
  --junit "$folder/audit.xml" --markdown "${GITHUB_STEP_SUMMARY:-$folder/audit.md}"
if [ -f "$last" ]; then
  set -- "$@" --since "$last"
fi
code=0
parchunk audit "$store" "$@" > "$folder/now.json" || code=$?
if [ "$code" -eq 1 ] && [ ! -s "$folder/now.json" ]; then
  code=2 # nothing was found: it did not begin, and Python exits with 1 then
fi
if [ "$code" -lt 2 ]; then
  mv "$folder/now.json" "$last"
  if [ "$code" -eq 1 ] && [ -z "${GITHUB_STEP_SUMMARY:-}" ]; then
    cat "$folder/audit.md"
  fi
else
  cat "$folder/now.json" >&2
fi
exit "$code"
