package console

import (
	"math"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// luminance returns the relative luminance of a color such as #1a1d21 or #fff
// (https://www.w3.org/TR/WCAG21/#dfn-relative-luminance).
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	if len(color) == 4 {
		color = string([]byte{'#', color[1], color[1], color[2], color[2], color[3], color[3]})
	}
	channel := func(from int) float64 {
		n, err := strconv.ParseUint(color[from:from+2], 16, 8)
		require.NoError(t, err)
		c := float64(n) / 255
		if c <= 0.03928 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*channel(1) + 0.7152*channel(3) + 0.0722*channel(5)
}

// Every color of a text has the contrast of WCAG 2.1 AA on both backgrounds, in light and in
// dark.
func TestContrast(t *testing.T) {
	t.Parallel()
	css, err := files.ReadFile("assets/console.css")
	require.NoError(t, err)
	themes := regexp.MustCompile(`:root\{([^}]*)\}`).FindAllStringSubmatch(string(css), -1)
	require.Len(t, themes, 2)
	for _, theme := range themes {
		colors := make(map[string]string)
		for _, pair := range regexp.MustCompile(`--(\w+):(#\w+)`).FindAllStringSubmatch(theme[1], -1) {
			colors[pair[1]] = pair[2]
		}
		for _, text := range []string{"fg", "muted", "accent", "good", "warn", "bad"} {
			for _, ground := range []string{"bg", "soft"} {
				a, b := luminance(t, colors[text]), luminance(t, colors[ground])
				assert.GreaterOrEqual(t, (max(a, b)+0.05)/(min(a, b)+0.05), 4.5, "%s on %s in %s", text, ground, theme[1])
			}
		}
	}
}
