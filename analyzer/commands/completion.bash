# Completion of tvg for bash: commands and options as the program itself prints them, device and rewrite files as paths.
_tvg()
{
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
    if [ "$COMP_CWORD" -eq 1 ] || { [ "$COMP_CWORD" -eq 2 ] && [ "$command" = help ]; }; then
        COMPREPLY=($(compgen -W "help $("${COMP_WORDS[0]}" help 2>/dev/null | sed -n 's/^  \([a-z]*\)  .*/\1/p')" -- "$word"))
    elif [ "$before" = --device ] || [ "$before" = --gpu ] || { [ "$command" = coeffs ] && [ "$before" = show ]; }; then
        COMPREPLY=($(compgen -f -W "$("${COMP_WORDS[0]}" coeffs list 2>/dev/null | sed -n 's/^ *\([a-z0-9][a-z0-9-]*\)  .*/\1/p')" -- "$word"))
    elif [ "${word#-}" != "$word" ]; then
        COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" help "$command" 2>/dev/null | grep -o -e '--[a-z][a-z-]*' | sort -u)" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}
complete -o filenames -F _tvg tvg
