/// \file
/// The one-layer problem trained step by step, with any of the three backward passes.
#pragma once

#include "basis/recover.h"
#include "core/run_context.h"
#include "training/one_layer.h"
#include "training/optimiser.h"
#include "training/passes.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace convbasis {

/// What is kept from one recovery until the next.
enum class Between : std::uint8_t {
  starts,  ///< the starts alone: the lag vectors are read anew in each step
  basis,   ///< the whole basis as it was: output and loss stand still until the next recovery
};
std::string_view name_of(Between between);  ///< "starts", "basis"
Between between_of(std::string_view name);  ///< the other way round; throws InvalidArgument

/// Which matrices X may become.
enum class Parameters : std::uint8_t {
  tied,  ///< those that commute with the rotation: 2 x 2 blocks of rotation and scaling. The scores keep their conv basis
  free,  ///< all of them. The scores lose their conv basis within a few steps
};
std::string_view name_of(Parameters parameters);  ///< "tied", "free"
Parameters parameters_of(std::string_view name);  ///< the other way round; throws InvalidArgument

struct TrainingOptions {
  Backward backward =
      Backward::exact;  ///< exact: exact forward and backward. estimate, conv: the conv forward with that backward
  Optimiser optimiser = Optimiser::gradient_descent;
  double rate = 0.0;                         ///< 0: default_rate()
  Parameters parameters = Parameters::tied;  ///< tied: the gradient is projected onto those matrices
  int recover_every = 1;                     ///< s >= 1: Recover runs in the steps 0, s, 2 s, ...
  Between between = Between::starts;
  /// For estimate and conv. Unset: what the problem says.
  std::optional<RecoverOptions> recover = std::nullopt;
  bool compare = true;  ///< each step also takes the exact loss and gradient at the same X, not counted in its seconds
};

/// 0.8 / (n d_v) for gradient descent, as the loss is a sum over n d_v entries; 0.01 for Adam, whose steps do not depend on the
/// gradient's size.
double default_rate(Optimiser optimiser, Index n, Index value_width);

struct TrainingStep {
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();  ///< without compare
  int step = 0;                                                                ///< 0: at X_0, before any change
  double loss = unknown;                                                       ///< of the run's own forward
  double exact_loss = unknown;                                                 ///< L(X) by exact attention at the same X
  double gradient_norm = unknown;   ///< ||g||_F, of the projected gradient with tied parameters; so is the next line
  double gradient_error = unknown;  ///< ||g - g_exact||_F / ||g_exact||_F at the same X; 0 for exact, with compare or without
  double seconds = 0.0;             ///< forward, backward (by Q, K and V) and update of this step
  bool recovered = false;           ///< Recover ran in this step
  Index k_found = 0;                ///< segments of the basis in use; 0 for exact
};

/// One run, step by step. Each run belongs to one thread at a time; its steps use all threads of their context and are the same,
/// bit for bit, for any number of them. Memory: O(n (d + d_v)), and what the passes need.
template <Real T>
class Trainer {
 public:
  /// Throws InvalidArgument: no problem, a rate that is negative or not finite, recover_every < 1, recover options that do not
  /// fit.
  Trainer(std::shared_ptr<const OneLayerProblem<T>> problem, const TrainingOptions& options);

  /// Loss and gradient at X_t, then X_{t+1}. Throws Cancelled, and InvalidArgument when X_{t+1} is not finite: the run is then as
  /// it was and step() may be called again.
  TrainingStep step(const RunContext& context = {});

  const TrainingOptions& options() const { return options_; }          ///< with rate and recover filled in
  const Matrix<T>& parameters() const { return parameters_; }          ///< X, d x d
  const Matrix<T>& gradient() const { return gradient_; }              ///< dL/dX of the last step, d x d; empty before it
  const Matrix<T>& exact_gradient() const { return exact_gradient_; }  ///< at the same X; empty without compare
  int steps_taken() const { return steps_taken_; }

 private:
  /// A loss and its gradient by X.
  struct Slope {
    double loss = 0.0;
    Matrix<T> gradient;
  };

  void move_against(const Matrix<T>& gradient);
  HeadView<T> head(const Matrix<T>& query) const;
  Slope exact_slope(const HeadView<T>& head, const RunContext& context) const;
  Slope conv_slope(const HeadView<T>& head, const ConvForward<T>& forward, const RunContext& context) const;
  Matrix<T> by_parameters(const Matrix<T>& query_gradient, const RunContext& context) const;
  /// The conv forward of this step, with a new basis, the one that was there, or a new one at its starts.
  ConvForward<T> forward_of(const HeadView<T>& head, bool recovers, const RunContext& context) const;

  std::shared_ptr<const OneLayerProblem<T>> problem_;
  TrainingOptions options_;
  Descent<T> descent_;
  Matrix<T> parameters_, gradient_, exact_gradient_;
  int steps_taken_ = 0;
  ConvForward<T> forward_;  // of the last step; empty for exact
};

/// The nearest matrix of the tied kind in the Frobenius norm: each 2 x 2 block on the diagonal becomes the rotation and scaling
/// nearest to it, all else 0. It is also the gradient by those matrices. Needs a square matrix of even size.
template <Real T>
Matrix<T> tied(const Matrix<T>& matrix);

}  // namespace convbasis
