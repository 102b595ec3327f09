//go:build linux

package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// The picture's measures, in pixels.
const (
	pictureWidth = 900
	progressTall = 360
	linksTall    = 160
	margin       = 50
)

// draw makes a picture (SVG) of a round: how much each machine had over time, and below how full the
// origin's link and those of the machines were.
func draw(s *scenario, x *result) []byte {
	end := x.Makespan
	for _, p := range x.series {
		end = max(end, p.at.Sub(x.begin).Seconds())
	}
	end = max(end, 0.001)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", pictureWidth, progressTall+linksTall+3*margin)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%d" y="20" font-size="15">%s: %s, %d of %d verified in %.2f s`, margin, html.EscapeString(x.Scenario), html.EscapeString(x.Contender), x.Verified, x.Expected, x.Makespan)
	if x.Ratio > 0 {
		fmt.Fprintf(&b, ", %.3f × T_min", x.Ratio)
	}
	b.WriteString("</text>\n")
	px := func(seconds float64) float64 { return margin + seconds/end*(pictureWidth-2*margin) }
	axes := func(top, tall float64, label string) {
		fmt.Fprintf(&b, `<rect x="%d" y="%.0f" width="%d" height="%.0f" fill="none" stroke="#999"/><text x="4" y="%.0f">100 %%</text><text x="4" y="%.0f">0</text><text x="%d" y="%.0f" fill="#555">%s</text>`+"\n",
			margin, top, pictureWidth-2*margin, tall, top+10, top+tall, margin+6, top-6, label)
		step := math.Pow(10, math.Floor(math.Log10(end)))
		if end/step < 3 {
			step /= 5
		}
		for t := 0.0; t <= end; t += step {
			fmt.Fprintf(&b, `<line x1="%.1f" y1="%.0f" x2="%.1f" y2="%.0f" stroke="#eee"/><text x="%.1f" y="%.0f" text-anchor="middle">%g s</text>`+"\n", px(t), top, px(t), top+tall, px(t), top+tall+15, math.Round(t*1000)/1000)
		}
	}
	line := func(top, tall float64, colour, name string, width float64, at func(i int) (t, share float64)) {
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="%g" points="`, colour, width)
		for i := range x.series {
			t, share := at(i)
			fmt.Fprintf(&b, "%.1f,%.1f ", px(min(max(t, 0), end)), top+tall*(1-min(max(share, 0), 1)))
		}
		fmt.Fprintf(&b, `"><title>%s</title></polyline>`+"\n", html.EscapeString(name))
	}
	top := float64(margin)
	axes(top, progressTall, "each machine's share of the content")
	for k, m := range x.Machines {
		colour := fmt.Sprintf("hsl(%d,70%%,45%%)", k*360/len(x.Machines))
		line(top, progressTall, colour, m.Name, 1.2, func(i int) (float64, float64) {
			return x.series[i].at.Sub(x.begin).Seconds(), float64(x.series[i].done[m.index]) / float64(x.Size)
		})
	}
	if x.Bound > 0 {
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%.0f" x2="%.1f" y2="%.0f" stroke="black" stroke-dasharray="4"/><text x="%.1f" y="%.0f" text-anchor="end">T_min</text>`+"\n", px(x.Bound), top, px(x.Bound), top+progressTall, px(x.Bound)-4, top+progressTall-6)
	}
	top += progressTall + margin
	axes(top, linksTall, "how full: origin up (red), machines up, mean (blue), sites down, mean (green)")
	type bundle struct {
		colour string
		links  []int
		rate   float64
	}
	bundles := []bundle{{colour: "#c22"}, {colour: "#24c"}, {colour: "#292"}}
	for i, l := range x.Links {
		if l.Rate == 0 {
			continue
		}
		kind := -1
		switch {
		case l.Name == "origin up":
			kind = 0
		case len(l.Name) > 8 && l.Name[:8] == "machine-" && l.Name[len(l.Name)-2:] == "up":
			kind = 1
		case len(l.Name) > 5 && l.Name[:5] == "site " && l.Name[len(l.Name)-4:] == "down":
			kind = 2
		}
		if kind >= 0 {
			bundles[kind].links = append(bundles[kind].links, i)
			bundles[kind].rate += l.Rate
		}
	}
	for _, u := range bundles {
		if len(u.links) == 0 {
			continue
		}
		line(top, linksTall, u.colour, "links", 1.5, func(i int) (float64, float64) {
			if i == 0 {
				return 0, 0
			}
			now, before := x.series[i], x.series[i-1]
			var carried float64
			for _, k := range u.links {
				carried += float64(now.carried[k] - before.carried[k])
			}
			return now.at.Sub(x.begin).Seconds(), 8 * carried / max(now.at.Sub(before.at).Seconds(), 0.01) / u.rate
		})
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
