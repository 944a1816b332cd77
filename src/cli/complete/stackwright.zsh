#compdef stackwright
# Completion of stackwright for zsh. Put this into ~/.zshrc, after compinit:
#   source <(stackwright completions zsh)
_stackwright() {
    local line word text
    local -a found open
    for line in "${(@f)$(STACKWRIGHT_COMPLETE=zsh ${words[1]} "${(@)words[2,CURRENT]}" 2> /dev/null)}"; do
        word=${line%%$'\t'*}
        text=${${line#$word}#$'\t'}
        case $word in
            '') ;;
            :files) _files ;;
            :directories) _files -/ ;;
            *[=/]) open+=("${word//:/\\:}:$text") ;;
            *) found+=("${word//:/\\:}:$text") ;;
        esac
    done
    (( $#open )) && _describe -t values stackwright open -S ''
    (( $#found )) && _describe -t values stackwright found
}
if [[ $funcstack[1] == _stackwright ]]; then
    _stackwright "$@"
else
    compdef _stackwright stackwright
fi
