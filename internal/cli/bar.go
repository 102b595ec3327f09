package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// screen is a terminal to draw on.
type screen struct {
	w       io.Writer
	colour  bool
	columns func() int
}

// screenOf returns nil if w is no terminal that can redraw a line. NO_COLOR is respected (no-color.org).
func screenOf(w io.Writer, lookupEnv func(string) (string, bool)) *screen {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	if kind, _ := lookupEnv("TERM"); kind == "dumb" {
		return nil
	}
	noColour, _ := lookupEnv("NO_COLOR")
	return &screen{w: w, colour: noColour == "", columns: func() int {
		columns, _, err := term.GetSize(int(f.Fd()))
		if err != nil || columns <= 0 {
			return 80
		}
		return columns
	}}
}

// bar draws progress on one line of a screen. The library draws percentage and bar; rate, time left and
// sources are ours, because they must not count what was there at the start.
type bar struct {
	screen *screen
	drawn  *progressbar.ProgressBar
}

// barWidth leaves room for the rest on the usual 80 columns.
const barWidth = 10

func newBar(s *screen, total int64) *bar {
	return &bar{s, progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(s.w),
		progressbar.OptionSetWidth(barWidth),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionEnableColorCodes(s.colour),
		progressbar.OptionSetSpinnerChangeInterval(0), // or it starts a goroutine that nobody waits for
	)}
}

func (b *bar) draw(p *progress) {
	// Its errors are of no use: of writing to the terminal, or that more is done than there is.
	_ = b.drawn.Set64(p.done)
	b.drawn.Describe(b.text(p))
}

func (b *bar) clear() { _ = b.drawn.Clear() }

// text is what stands behind the bar, cut to what fits the line: the sources go first, then the time left,
// then the rate.
func (b *bar) text(p *progress) string {
	room := b.screen.columns() - len(" 100% || ") - barWidth - 2
	text := formatBytes(p.done)
	if p.total > 0 {
		text += " of " + formatBytes(p.total)
	}
	length := len(text)
	add := func(plain, coloured string) {
		if length += len(plain); length <= room { // once too long, it stays too long
			text += coloured
		}
	}
	rate := "  " + p.pace()
	add(rate, rate)
	if left := p.left(); left > 0 {
		time := fmt.Sprintf("  %s left", left)
		add(time, time)
	}
	for _, c := range p.from.classes() {
		share := 100 * c.bytes / p.from.sum()
		plain := fmt.Sprintf("  %s %d%%", c.name, share)
		coloured := plain
		if b.screen.colour {
			coloured = fmt.Sprintf("  [%s]%s[reset] %d%%", c.colour, c.name, share)
		}
		add(plain, coloured)
	}
	return text
}
