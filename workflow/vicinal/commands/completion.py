"""Print a script that lets the shell complete commands, options and experiments; for the present shell:

eval "$(./reproduce completion bash)"
"""

import argparse

from vicinal.commands import COMMANDS, DEFAULT, command_of

# bash looks for the last part of a command's path, so ./reproduce and /home/me/vicinal/reproduce are completed too.
SCRIPT = """\
_vicinal() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words folder file
    case ${{COMP_WORDS[1]}} in
{options}
    esac
    [ "$COMP_CWORD" -gt 1 ] || words="$words {commands}"
    folder=$(dirname -- "${{COMP_WORDS[0]}}")/experiments
    for file in "$folder"/*.yaml; do
        file=${{file##*/}}
        words="$words ${{file%.yaml}}"
    done
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _vicinal reproduce
"""
SHELLS = {"bash": SCRIPT, "zsh": f"autoload -U +X bashcompinit && bashcompinit\n{SCRIPT}"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument of the command."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads the script")


def main(args: argparse.Namespace) -> int:
    """Print the script; return the exit status."""
    options = {name: " ".join(command_of(name)[1].long_options) for name in COMMANDS}
    cases = [f'        {name}) words="{words}" ;;' for name, words in options.items()]
    cases.append(f'        *) words="{options[DEFAULT]}" ;;')
    print(SHELLS[args.shell].format(options="\n".join(cases), commands=" ".join(COMMANDS)), end="")
    return 0
