# PSNR against the budget, a line for each pattern and method of `table` (a file of table.awk), into `out`.
set terminal svg size 900,560 dynamic font "Helvetica,13" background rgb "white"
set output out
set datafile separator "\t"
set key outside right
set xlabel "samples a frame"
set ylabel "PSNR, dB"
set logscale x 2
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
stats table using 2 skip 1 nooutput
set xrange [STATS_min * 0.9 : STATS_max * 1.1]
lines = ""
last = ""
add(p, m) = (p . " " . m eq last) ? 0 : (last = p . " " . m, lines = lines . sprintf(" '%s'", last), 1)
stats table using (add(strcol(1), strcol(3))) skip 1 nooutput
dash(line) = strstrt(line, "linear") ? 2 : 1
plot for [line in lines] table using 2:((strcol(1) . " " . strcol(3)) eq line ? column(5) : NaN):xtic(strcol(2)) skip 1 \
    with linespoints lw 1.5 ps 0.6 dt dash(line) title line
