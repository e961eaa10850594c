/// \file
/// The atlas of a model's files: which heads there are to look at, and the record of one of them.
#pragma once

#include "analysis/head_atlas_record.h"
#include "core/run_context.h"
#include "data/activations.h"

#include <span>
#include <string>
#include <vector>

namespace convbasis {

/// What tells whether files are the same wherever they lie: their names without folders, headers and metadata, and the first
/// 256 numbers of every tensor of a floating type. Cost: a read a tensor, and what it takes to unpack it. Throws FileError.
std::string fingerprint_of(const Activations& activations);

/// The heads of these layers and with these numbers, ascending; an empty list stands for all. Throws InvalidArgument, listing
/// what exists, for a layer that is not there and for a head that no chosen layer has.
std::vector<AtlasPlace> atlas_heads(const Activations& activations, std::span<const Index> layers, std::span<const Index> heads);

/// Throws InvalidArgument unless the manifest's options and n fit these files.
void require_valid(const AtlasManifest& manifest, const Activations& activations);

/// The record, as atlas_record_text() makes it, of head manifest.heads[place]. A head that cannot be read, or not be looked at,
/// gives a record of its failure. Thread-safe. Throws Cancelled.
std::string make_atlas_record(const Activations& activations, const AtlasManifest& manifest, Index place,
                              const RunContext& context = {});

}  // namespace convbasis
