# Completion of stackwright for bash. Put this into ~/.bashrc:
#   source <(stackwright completions bash)
_stackwright() {
    local line word current typed=${COMP_LINE:0:COMP_POINT}
    local -a words
    # Bash breaks words at = and :, which addresses and flags may hold.
    read -ra words <<< "$typed"
    [[ $typed == *[[:space:]] ]] && words+=("")
    current=${words[-1]}
    local broken=${current%"${current##*[=:]}"}
    COMPREPLY=()
    while IFS= read -r line; do
        word=${line%%$'\t'*}
        case $word in
            :files) mapfile -t COMPREPLY < <(compgen -f -- "${current##*=}"); compopt -o filenames ;;
            :directories) mapfile -t COMPREPLY < <(compgen -d -- "${current##*=}"); compopt -o filenames ;;
            *)
                # Nothing more is typed after a flag's sign or a folder's slash.
                [[ $word == *[=/] ]] && compopt -o nospace
                COMPREPLY+=("${word#"$broken"}")
                ;;
        esac
    done < <(STACKWRIGHT_COMPLETE=bash "${words[0]}" "${words[@]:1}" 2> /dev/null)
}
complete -F _stackwright stackwright
