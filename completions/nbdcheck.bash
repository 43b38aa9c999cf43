# bash completion for nbdcheck(1)

_nbdcheck() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local word command='' options values=''
  COMPREPLY=()
  # bash makes words of the option, "=" and the value.
  if [[ $previous == '=' ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  elif [[ $current == '=' ]]; then
    current=''
  else
    case $previous in --*) previous='' ;; esac
  fi
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      list | explain | replay | judge) command=$word && break ;;
      -* | =) ;;
    esac
  done

  case $previous in
    --profile) values='quick standard thorough' ;;
    --time) values='share' ;;
    --persistence) values='auto shared per-connection' ;;
    --consistency) values='regular atomic' ;;
    --report) values='json:' ;;
    --fail-on) values='must should quality' ;;
    --color) values='auto always never' ;;
    --target) values='plugin nbdkit' ;;
    --format) values='text json' ;;
    --only | --skip) values=$("${COMP_WORDS[0]}" list --checks 2>/dev/null | cut -d' ' -f1) ;;
    --nbdkit | --waivers)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
    --artifacts)
      mapfile -t COMPREPLY < <(compgen -d -- "$current")
      return
      ;;
    explain)
      values=$("${COMP_WORDS[0]}" list --rules 2>/dev/null | cut -d' ' -f1)
      ;;
  esac
  if [[ -n $values ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current")
    return
  fi
  if [[ $current == -* ]]; then
    case $command in
      list) options='--rules --checks --format=' ;;
      explain) options='--color=' ;;
      judge) options='--consistency=' ;;
      *)
        options='--profile= --time= --only= --skip= --seed= --readonly --exportname=
          --persistence= --unstable-contents --backing= --write-in-place --jobs= --nbdkit=
          --timeout= --valgrind --in-process --report= --artifacts= --waivers= --fail-on= --color= --quiet
          --verbose --consistency= --version --help'
        [[ $command == replay ]] && options+=' --target= --repeat='
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null
    return
  fi
  [[ -z $command ]] && mapfile -t COMPREPLY < <(compgen -W 'list explain replay judge' -- "$current")
  local files
  mapfile -t files < <(compgen -f -- "$current")
  COMPREPLY+=("${files[@]}")
}

complete -o filenames -F _nbdcheck nbdcheck
