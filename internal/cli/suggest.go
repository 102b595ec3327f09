package cli

import "strings"

// nearest returns the candidate that a mistyped word most likely meant, or "" if none is close.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", len(word)
	for _, candidate := range candidates {
		distance := editDistance(strings.ToLower(word), candidate)
		// A word that was cut short is close to what it begins: --lim to --limit-up.
		if len(word) >= 3 && strings.HasPrefix(candidate, word) {
			distance = 1
		}
		// Of a short word at least half must be right: foo is not log.
		if distance <= max(min(2, len(word)/2), len(candidate)/3) && distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours between a and b.
func editDistance(a, b string) int {
	const maxWord = 64 // what is longer is no typing error, and the table would grow
	if len(a) > maxWord || len(b) > maxWord {
		return maxWord
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
