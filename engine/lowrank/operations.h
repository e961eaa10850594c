/// \file
/// How the low-rank products count their work.
#pragma once

#include "core/types.h"

namespace convbasis {

/// What a product did, counted as if nothing were padded. The same for any number of threads.
struct Operations {
  Index multiply_adds = 0;
  Index additions = 0;  ///< without a multiplication: sums of sums

  Operations& operator+=(const Operations& other) {
    multiply_adds += other.multiply_adds;
    additions += other.additions;
    return *this;
  }
  bool operator==(const Operations&) const = default;
};

}  // namespace convbasis
