package container

// RootFS says how a container's root filesystem is mounted. A snapshot driver makes it, the runtime
// mounts it (inside the container's mount namespace only), so neither needs to know the other.
type RootFS struct {
	// Layers are read-only trees, the topmost first. With exactly one layer, no Upper and Overlay false
	// the tree itself is the root (an OCI bundle, `--rootfs PATH`).
	Layers []Layer `json:"layers"`
	// Upper and Work are directories of one filesystem, owned by the container's root as the host sees
	// it: the writable layer of an overlay. Both empty: the root is read-only or is Layers[0] itself.
	Upper string `json:"upper,omitempty"`
	Work  string `json:"work,omitempty"`
	// Overlay forces an overlay although one layer alone would do.
	Overlay bool `json:"overlay,omitempty"`
	// ReadOnly mounts the whole root read-only.
	ReadOnly bool `json:"read_only,omitempty"`
	// Idmap: files on disk carry container ids (0 is the container's root) and are shifted by an idmapped
	// mount (mount_setattr(2), Linux 5.12; overlay layers 5.19). Otherwise ids are used as they stand.
	Idmap bool `json:"idmap,omitempty"`
	// Volatile: skip syncs of the upper layer (overlay "volatile", Linux 5.10): for --rm, whose files
	// nobody sees after a crash.
	Volatile bool `json:"volatile,omitempty"`
}

// Layer is one read-only tree: a directory, or (the later erofs driver) an EROFS image file whose
// files live in the Devices files.
type Layer struct {
	Dir     string   `json:"dir,omitempty"`
	Image   string   `json:"image,omitempty"`
	Devices []string `json:"devices,omitempty"`
}
