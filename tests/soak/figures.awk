# Adds up the lines that `tests/soak/rounds.rs` leaves, and prints them as a table.
BEGIN { FS = "|" }
{
  if (!($1 in rounds)) names[++count] = $1
  rounds[$1] += $2
  failed[$1] += $3
  parts = split($4, done, ", ")
  for (n = 1; n <= parts; n++) {
    what = substr(done[n], index(done[n], " ") + 1)
    if (!(($1, what) in total)) kinds[$1] = kinds[$1] what "|"
    total[$1, what] += done[n]
  }
}
END {
  printf "\n| What | Rounds | In them | Failed |\n| --- | --- | --- | --- |\n"
  for (n = 1; n <= count; n++) {
    name = names[n]
    text = ""
    parts = split(kinds[name], kind, "|")
    for (k = 1; k < parts; k++) text = text (k > 1 ? ", " : "") total[name, kind[k]] " " kind[k]
    printf "| %s | %d | %s | %d |\n", name, rounds[name], text, failed[name]
  }
}
