# Tables of sgaps-eval --tsv, one for each OUT/LOSS/PATTERN-BUDGET.tsv, into one. Linear interpolation is in each of them and
# is told once; where the samples followed a model, it is linear interpolation of that model's samples.
BEGIN {
    FS = OFS = "\t"
    print "pattern", "samples", "method", "frames", "psnr", "ssim"
}
FNR == 1 {
    n = split(FILENAME, part, "/")
    loss = part[n - 1]
    pattern = budget = part[n]
    sub(/-[0-9]+\.tsv$/, "", pattern)
    sub(/^.*-/, "", budget)
    sub(/\.tsv$/, "", budget)
    for (i = 1; i <= NF; i++)
        column[$i] = i
    next
}
{
    guided = pattern ~ /^(importance_only|hybrid|adaptive)$/
    method = $column["method"] != "linear" ? loss : guided ? "linear/" loss : "linear"
    if (!((pattern, budget, method) in told)) {
        told[pattern, budget, method] = 1
        print pattern, budget, method, $column["frames"], $column["psnr"], $column["ssim"] | "LC_ALL=C sort -t '\t' -k1,1 -k3,3 -k2,2n"
    }
}
