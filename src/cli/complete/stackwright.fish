# Completion of stackwright for fish. Put it where fish looks:
#   stackwright completions fish > ~/.config/fish/completions/stackwright.fish
function __stackwright_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (STACKWRIGHT_COMPLETE=fish $words[1] $words[2..-1] "$current" 2> /dev/null)
        switch $line
            case :files
                __fish_complete_path "$current"
            case :directories
                __fish_complete_directories "$current"
            case '*'
                echo $line
        end
    end
end
complete -c stackwright -f -a '(__stackwright_complete)'
