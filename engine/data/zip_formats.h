/// \file
/// The tensor formats that are zip archives.
#pragma once

#include "data/tensor_file.h"
#include "data/zip.h"

#include <vector>

namespace convbasis {

/// numpy.savez and savez_compressed: one npy file an entry, each a tensor named as the entry without ".npy". Arrays that are no
/// plain numbers (texts, objects, fields) are listed as skipped. Throws FileError for damaged entries and those that are no npy.
TensorIndex read_npz(const FileReader& file, const std::vector<ZipEntry>& entries);

/// torch.save since PyTorch 1.6: a pickle that describes dicts, lists and tensors, and one entry for each storage. The pickle is
/// read as data and nothing in it is ever run (pickle.h). A tensor's name is its path: keys and positions joined by dots; a
/// tensor alone is named like the file. Texts, numbers and lists of texts in a dict at the top are metadata.
/// Throws FileError for everything that plain tensors do not need, for storages that are missing or of another size than they
/// say, and for tensors that leave their storage or whose elements share memory.
TensorIndex read_torch(const FileReader& file, const std::vector<ZipEntry>& entries);

/// Whether the entries are those that torch.save writes.
bool looks_like_torch(const std::vector<ZipEntry>& entries);

}  // namespace convbasis
