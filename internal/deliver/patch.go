package deliver

import (
	"context"
	"errors"
)

// byPatch fetches a patch, or reads a small one, and applies it.
func (s *stager) byPatch(context.Context, *Candidate) error { return errors.ErrUnsupported }
