#include "data/planted.h"

#include "core/errors.h"
#include "core/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <set>
#include <string>

namespace convbasis {
namespace {

/// Standard normal numbers, the same from every standard library (std::normal_distribution is not).
class Gaussian {
 public:
  explicit Gaussian(std::uint64_t seed) : bits_(seed) {}

  double operator()() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));  // the argument is in (0, 1]
    const double angle = 2.0 * std::numbers::pi * uniform();
    spare_ = radius * std::sin(angle);
    has_spare_ = true;
    return radius * std::cos(angle);
  }

  Eigen::VectorXd vector(Index size, double deviation) {
    Eigen::VectorXd result(size);
    for (double& entry : result) entry = deviation * (*this)();
    return result;
  }

  /// An integer in [0, count]. The bias of the remainder is below 2^-30 for every count that fits in memory.
  Index up_to(Index count) { return static_cast<Index>(bits_() % (static_cast<std::uint64_t>(count) + 1)); }

 private:
  /// In [0, 1), 53 bits.
  double uniform() { return static_cast<double>(bits_() >> 11U) * 0x1p-53; }

  std::mt19937_64 bits_;
  double spare_ = 0.0;
  bool has_spare_ = false;
};

/// R^position for the rotary rotation R: neighbouring entries turn as pairs, with frequencies 10000^(-2 p / d).
class Rotation {
 public:
  explicit Rotation(Index width) : frequency_(width / 2), cosine_(width / 2), sine_(width / 2) {
    for (Index p = 0; p < frequency_.size(); ++p) {
      frequency_[p] = std::pow(10000.0, -static_cast<double>(p) / static_cast<double>(frequency_.size()));
    }
  }

  void set_position(Index position) {
    const auto steps = static_cast<double>(position);
    for (Index p = 0; p < frequency_.size(); ++p) {
      const double angle = steps * frequency_[p];
      // The product's rounding error grows with the position and would break the Toeplitz structure; put it back, to first order.
      const double lost = std::fma(steps, frequency_[p], -angle);
      cosine_[p] = std::cos(angle) - lost * std::sin(angle);
      sine_[p] = std::sin(angle) + lost * std::cos(angle);
    }
  }

  void apply(const Eigen::VectorXd& vector, Eigen::VectorXd& rotated) const {
    for (Index p = 0; p < frequency_.size(); ++p) {
      const double x = vector[2 * p];
      const double y = vector[2 * p + 1];
      rotated[2 * p] = x * cosine_[p] - y * sine_[p];
      rotated[2 * p + 1] = x * sine_[p] + y * cosine_[p];
    }
  }

 private:
  Eigen::VectorXd frequency_, cosine_, sine_;
};

/// Random starts, T apart where that fits, the last with m_k >= T.
std::vector<Index> random_starts(const PlantedOptions& options, Gaussian& random) {
  std::vector<Index> starts(static_cast<std::size_t>(options.k), 0);
  if (options.k == 1) return starts;
  const Index last = options.n - options.T;
  const Index gap = std::min(options.T, last / (options.k - 1));
  const Index slack = last - gap * (options.k - 1);
  for (std::size_t r = 1; r < starts.size(); ++r) starts[r] = random.up_to(slack);
  std::sort(starts.begin(), starts.end());
  for (std::size_t r = 1; r < starts.size(); ++r) starts[r] += gap * static_cast<Index>(r);
  return starts;
}

/// The first T entries of every segment's lag vector, one row a segment: u_r[t] = scale q^T R^{-t} kappa_r.
Matrix<double> lag_vector_heads(const Eigen::VectorXd& query, const std::vector<Eigen::VectorXd>& keys, Index T, double scale) {
  Matrix<double> heads(static_cast<Index>(keys.size()), T);
  Rotation rotation(query.size());
  Eigen::VectorXd rotated(query.size());
  for (Index t = 0; t < T; ++t) {
    rotation.set_position(t);
    rotation.apply(query, rotated);
    for (Index r = 0; r < heads.rows(); ++r) heads(r, t) = scale * rotated.dot(keys[static_cast<std::size_t>(r)]);
  }
  return heads;
}

/// The smallest || b_j + ... + b_i ||_1 over T entries, j <= i, where b_j + ... + b_i = u_i - u_{j-1} and u_{-1} = 0.
double separation(const Matrix<double>& lag_vectors) {
  double smallest = std::numeric_limits<double>::infinity();
  for (Index i = 0; i < lag_vectors.rows(); ++i) {
    smallest = std::min(smallest, lag_vectors.row(i).lpNorm<1>());
    for (Index j = 0; j < i; ++j) smallest = std::min(smallest, (lag_vectors.row(i) - lag_vectors.row(j)).lpNorm<1>());
  }
  return smallest;
}

/// How far rounding to T may move a score: entries of query and key, then a dot product of d terms in any order.
template <Real T>
double score_rounding(const Eigen::VectorXd& query, const std::vector<Eigen::VectorXd>& keys, double scale) {
  double longest = 0.0;
  for (const Eigen::VectorXd& key : keys) longest = std::max(longest, key.norm());
  const double terms = 1.0 + 0.5 * static_cast<double>(query.size());
  return terms * static_cast<double>(std::numeric_limits<T>::epsilon()) * scale * query.norm() * longest;
}

/// A key change of length `length`. Half of it points along the query (with a random sign), so that short lags really
/// move by about the allowed amount; the other half is random, so that the change is not the same at every lag.
Eigen::VectorXd key_change(const Eigen::VectorXd& query, double length, Gaussian& random) {
  Eigen::VectorXd change = random.vector(query.size(), 1.0).normalized();
  change += (random.up_to(1) == 0 ? 1.0 : -1.0) * query.normalized();
  return change * (length / std::max(change.norm(), std::numeric_limits<double>::min()));
}

template <Real T>
Matrix<T> random_matrix(Index rows, Index columns, Gaussian& random) {
  Matrix<T> result(rows, columns);
  for (Index i = 0; i < result.size(); ++i) result.data()[i] = static_cast<T>(random());
  return result;
}

/// What every row of Q and K is made of.
struct Pattern {
  Eigen::VectorXd query;
  std::vector<Eigen::VectorXd> keys;  ///< one a segment
  std::vector<Index> starts;
  double change_length;  ///< noise, as the length of a change of a key; 0: none
};

/// Rows [first, last) of Q and K. Keys are changed by draws from `random` unless it is null.
template <Real T>
void plant_rows(const Pattern& pattern, Index first, Index last, Gaussian* random, HeadTensors<T>& head) {
  const Index width = pattern.query.size();
  Rotation rotation(width);
  Eigen::VectorXd rotated(width);
  const auto next = std::upper_bound(pattern.starts.begin(), pattern.starts.end(), first);
  auto segment = static_cast<std::size_t>(next - pattern.starts.begin()) - 1;
  for (Index j = first; j < last; ++j) {
    if (segment + 1 < pattern.starts.size() && pattern.starts[segment + 1] == j) ++segment;
    rotation.set_position(j);
    rotation.apply(pattern.query, rotated);
    head.query.row(j) = rotated.transpose().cast<T>();
    if (random != nullptr) {
      rotation.apply(pattern.keys[segment] + key_change(pattern.query, pattern.change_length, *random), rotated);
    } else {
      rotation.apply(pattern.keys[segment], rotated);
    }
    head.key.row(j) = rotated.transpose().cast<T>();
  }
}

/// Blocks of rows: on all threads without noise, one after the other with it, because each draws where the last one stopped.
template <Real T>
void plant_all_rows(const Pattern& pattern, bool noisy, Gaussian& random, HeadTensors<T>& head, const RunContext& context) {
  constexpr Index block = 512;
  const Index n = head.query.rows();
  RunContext own = context;
  if (noisy) own.threads = 1;
  parallel_for(
      own, (n + block - 1) / block,
      [&](Index item, int) {
        plant_rows(pattern, item * block, std::min(n, (item + 1) * block), noisy ? &random : nullptr, head);
      },
      "planting");
}

/// All but the value. `options` are valid.
template <Real T>
Planted<T> plant_scores(const PlantedOptions& options, Gaussian& random, const RunContext& context) {
  Planted<T> planted;
  planted.starts = random_starts(options, random);
  const double scale = 1.0 / std::sqrt(static_cast<double>(options.d));
  planted.head.scale = scale;
  Pattern pattern{random.vector(options.d, options.spread), {}, planted.starts, 0.0};
  for (Index r = 0; r < options.k; ++r) pattern.keys.push_back(random.vector(options.d, options.spread));
  // A distance of exactly the separation must still reach delta after rounding, so delta gives way by what T entries can lose.
  const double rounding = 2.0 * static_cast<double>(options.T) * score_rounding<T>(pattern.query, pattern.keys, scale);
  planted.delta = std::max(0.0, separation(lag_vector_heads(pattern.query, pattern.keys, options.T, scale)) - rounding);
  const double allowed = planted.delta / (5.0 * static_cast<double>(options.T));
  if (options.noise > allowed) {
    throw InvalidArgument(
        fmt::format("noise is {}; for this planted input it must be at most delta / (5 T) = {:.3g}", options.noise, allowed));
  }
  // A rotation keeps lengths, so no score moves by more than scale |q| |change of key|.
  pattern.change_length = options.noise / (scale * pattern.query.norm());
  planted.noise = options.noise;
  planted.head.query.resize(options.n, options.d);
  planted.head.key.resize(options.n, options.d);
  plant_all_rows(pattern, options.noise > 0.0, random, planted.head, context);
  return planted;
}

Index parse_integer(std::string_view part, std::string_view value) {
  Index result = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
  if (error != std::errc() || end != value.data() + value.size()) {
    throw InvalidArgument(fmt::format("planted input: \"{}\" needs a whole number after the =", part));
  }
  return result;
}

double parse_number(std::string_view part, std::string_view value) {
  double result = 0.0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
  if (error != std::errc() || end != value.data() + value.size()) {
    throw InvalidArgument(fmt::format("planted input: \"{}\" needs a number after the =", part));
  }
  return result;
}

void set_option(PlantedOptions& options, std::string_view part, std::string_view name, std::string_view value) {
  if (name == "n") {
    options.n = parse_integer(part, value);
  } else if (name == "d") {
    options.d = parse_integer(part, value);
  } else if (name == "value_width") {
    options.value_width = parse_integer(part, value);
  } else if (name == "k") {
    options.k = parse_integer(part, value);
  } else if (name == "T") {
    options.T = parse_integer(part, value);
  } else if (name == "noise") {
    options.noise = parse_number(part, value);
  } else if (name == "spread") {
    options.spread = parse_number(part, value);
  } else if (name == "seed") {
    const Index seed = parse_integer(part, value);
    if (seed < 0) throw InvalidArgument(fmt::format("planted input: \"{}\" must not be negative", part));
    options.seed = static_cast<std::uint64_t>(seed);
  } else {
    throw InvalidArgument(
        fmt::format("planted input: \"{}\" is not known; the names are k, n, d, T, noise, spread, value_width, seed", part));
  }
}

}  // namespace

void require_valid(const PlantedOptions& options) {
  if (options.n < 1) throw InvalidArgument(fmt::format("n is {}; it must be at least 1", options.n));
  if (options.d < 2 || options.d % 2 != 0) {
    throw InvalidArgument(fmt::format("d is {}; planted inputs need an even d of at least 2", options.d));
  }
  if (options.value_width < 0)
    throw InvalidArgument(fmt::format("value_width is {}; it must not be negative", options.value_width));
  if (options.T < 1 || options.T > options.n) {
    throw InvalidArgument(fmt::format("T is {}; it must be from 1 to n = {}", options.T, options.n));
  }
  if (options.k < 1 || options.k > options.n - options.T + 1) {
    throw InvalidArgument(fmt::format("k is {}; it must be from 1 to n - T + 1 = {}", options.k, options.n - options.T + 1));
  }
  if (!(options.noise >= 0.0) || !std::isfinite(options.noise)) {
    throw InvalidArgument(fmt::format("noise is {}; it must be a finite number, 0 or more", options.noise));
  }
  if (!(options.spread > 0.0) || !std::isfinite(options.spread)) {
    throw InvalidArgument(fmt::format("spread is {}; it must be a finite number above 0", options.spread));
  }
}

template <Real T>
Planted<T> make_planted(const PlantedOptions& options, const RunContext& context) {
  require_valid(options);
  Gaussian random(options.seed);
  Planted<T> planted = plant_scores<T>(options, random, context);
  planted.head.value = random_matrix<T>(options.n, options.value_width > 0 ? options.value_width : options.d, random);
  return planted;
}

template <Real T>
Planted<T> make_planted_scores(const PlantedOptions& options, const RunContext& context) {
  require_valid(options);
  Gaussian random(options.seed);
  return plant_scores<T>(options, random, context);
}

template <Real T>
HeadTensors<T> make_random_head(Index n, Index d, Index value_width, std::uint64_t seed) {
  if (n < 1 || d < 1 || value_width < 1) {
    throw InvalidArgument(
        fmt::format("a random head needs n, d and value_width of at least 1, not {}, {} and {}", n, d, value_width));
  }
  Gaussian random(seed);
  HeadTensors<T> head;
  head.query = random_matrix<T>(n, d, random);
  head.key = random_matrix<T>(n, d, random);
  head.value = random_matrix<T>(n, value_width, random);
  head.scale = 1.0 / std::sqrt(static_cast<double>(d));
  return head;
}

PlantedOptions parse_planted(std::string_view text) {
  PlantedOptions options;
  std::set<std::string_view> seen;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) {
      throw InvalidArgument(fmt::format("planted input: \"{}\" is not NAME=VALUE, such as k=4", part));
    }
    const std::string_view name = part.substr(0, equals);
    if (!seen.insert(name).second) throw InvalidArgument(fmt::format("planted input: \"{}\" is given twice", name));
    set_option(options, part, name, part.substr(equals + 1));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
  }
  return options;
}

template Planted<float> make_planted<float>(const PlantedOptions&, const RunContext&);
template Planted<double> make_planted<double>(const PlantedOptions&, const RunContext&);
template Planted<float> make_planted_scores<float>(const PlantedOptions&, const RunContext&);
template Planted<double> make_planted_scores<double>(const PlantedOptions&, const RunContext&);
template HeadTensors<float> make_random_head<float>(Index, Index, Index, std::uint64_t);
template HeadTensors<double> make_random_head<double>(Index, Index, Index, std::uint64_t);

}  // namespace convbasis
