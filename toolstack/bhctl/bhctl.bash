# SPDX-License-Identifier: GPL-2.0-or-later
# Completion for bhctl: commands and options come from the program itself.
_bhctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} cmd=${COMP_WORDS[1]} words
	if [ "$COMP_CWORD" -eq 1 ]; then
		words=$(bhctl --complete 2>/dev/null)
	elif [[ $cur == -* ]]; then
		words=$(bhctl --complete "$cmd" 2>/dev/null)
	elif [[ $cmd == restore || ${COMP_WORDS[COMP_CWORD-1]} == -f ||
		${COMP_WORDS[COMP_CWORD-1]} == --file ]] ||
		[[ $cmd == save && $COMP_CWORD -eq 3 ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	else
		words=$(bhctl list 2>/dev/null | sed '1d; s/ .*//; /^Domain-0$/d')
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _bhctl bhctl
