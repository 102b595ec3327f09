package rollout

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
)

// The paths of the FleetLock protocol, below the server's base.
const (
	AcquirePath = "/v1/pre-reboot"
	ReleasePath = "/v1/steady-state"
)

// TokenHeader is the header of an answer that has the holder's fencing token.
const TokenHeader = "Shoal-Fencing-Token"

const maxRequest = 4 << 10 // bytes

// Handler answers machines that ask for slots.
type Handler struct {
	Slots *Slots
	Log   *slog.Logger
}

// isGroup says whether a name can be one of the protocol's groups: [a-zA-Z0-9.-]{1,64}. No regular expression, since to
// compile these two took each start of the program 9 ms.
func isGroup(s string) bool {
	return len(s) >= 1 && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-')
	})
}

// isID says whether a text is what we take as the id of a machine: [!-~]{1,128}.
func isID(s string) bool {
	return len(s) >= 1 && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' })
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		refuse(w, http.StatusMethodNotAllowed, "method", "slots are asked for with POST")
		return
	}
	if r.Header.Get("fleet-lock-protocol") != "true" { // so that no web page can have a browser ask
		refuse(w, http.StatusBadRequest, "header", "the header fleet-lock-protocol is missing")
		return
	}
	var request struct {
		Parameters struct {
			ID    string `json:"id"`
			Group string `json:"group"`
		} `json:"client_params"`
		Claim *Claim `json:"shoal_rollout"` // what a shoal wants the slot for; others have no such
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err == nil {
		err = json.Unmarshal(body, &request)
	}
	p := request.Parameters
	if err != nil || !isGroup(p.Group) || !isID(p.ID) {
		refuse(w, http.StatusBadRequest, "client_params", "client_params has no id and group as they should be")
		return
	}
	if h.Slots.cfg.PerGroup == 0 && request.Claim == nil && r.URL.Path != ReleasePath { // how many there are is not for us to say
		refuse(w, http.StatusNotFound, "no_slots", "this origin has no slots: serve --fleet-slots gives them")
		return
	}
	if r.URL.Path == ReleasePath {
		err = h.Slots.Release(r.Context(), p.Group, p.ID)
	} else {
		var holder *Holder
		if holder, err = h.Slots.Acquire(r.Context(), p.Group, p.ID, request.Claim); err == nil {
			w.Header().Set(TokenHeader, strconv.FormatUint(holder.Token, 10))
		}
	}
	switch {
	case errors.Is(err, ErrTaken):
		refuse(w, http.StatusConflict, "all_slots_taken", err.Error())
	case errors.Is(err, ErrWave):
		refuse(w, http.StatusConflict, "wave", err.Error())
	case err != nil:
		h.Log.Error("a slot for an update", "group", p.Group, "id", p.ID, "err", err)
		refuse(w, http.StatusInternalServerError, "internal", "the slots cannot be read or written")
	}
}

// refuse answers as the protocol has it.
func refuse(w http.ResponseWriter, status int, kind, value string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct {
		Kind  string `json:"kind"`
		Value string `json:"value"`
	}{kind, value})
}
